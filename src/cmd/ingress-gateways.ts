/** The Gateways of IngressClasses: [Gateway that is to exist] -> the API server, by the leader; without a cluster -> the source of Gateways. */
import { fieldManager } from '../deploy/applier.ts';
import type { IngressProblem } from '../gateway/ingress-status.ts';
import type { Collection, Source } from '../krt/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { Gateways } from '../kube/resources.ts';
import type { Gateway } from '../kube/types/gateway-api.ts';
import { keyOf } from '../kube/types/meta.ts';
import { workQueue } from '../kube/work-queue.ts';
import type { Logger } from './log.ts';

export interface IngressGatewayOptions {
  readonly client: Pick<KubeClient, 'apply'>;
  /** Gateways that are to exist. */
  readonly wanted: Collection<Gateway>;
  /** Those that exist. */
  readonly existing: Collection<Gateway>;
  readonly log: Logger;
}

/** Makes them, also again when somebody deletes one; none is ever deleted, for they go with their class. A user's own of that name is left alone. */
export function makeIngressGateways({ client, wanted, existing, log }: IngressGatewayOptions): AsyncDisposable {
  const make = async (key: string): Promise<void> => {
    const gateway = wanted.get(key);
    if (!gateway) return;
    const there = existing.get(key);
    const owner = gateway.metadata.ownerReferences?.[0];
    if (there && !there.metadata.ownerReferences?.some((o) => o.uid === owner?.uid)) {
      log.error(
        { gateway: key },
        `the Gateway of IngressClass ${owner?.name} exists and was not made for it: name it in spec.parameters of the class, or delete it`,
      );
      return;
    }
    await client.apply(Gateways, gateway, { fieldManager });
  };
  const queue = workQueue(make, {
    concurrency: 1,
    rate: 5,
    burst: 5,
    onError: (key, error) => log.error({ gateway: key, err: error }, 'the Gateway of an IngressClass could not be made; it is tried again'),
  });
  const subscriptions = [
    wanted.subscribe(
      (events) => {
        for (const e of events) if (e.type !== 'delete') queue.add(e.key);
      },
      { initial: true },
    ),
    existing.subscribe((events) => {
      for (const e of events) if (e.type === 'delete' && wanted.get(e.key)) queue.add(e.key);
    }),
  ];
  return {
    [Symbol.asyncDispose]: async () => {
      for (const s of subscriptions) s[Symbol.dispose]();
      await queue.stop();
    },
  };
}

/** Without a cluster: as if they had been made. */
export function pretendIngressGateways(wanted: Collection<Gateway>, target: Source<Gateway>): void {
  wanted.subscribe(
    (events) => {
      for (const e of events) {
        if (e.type === 'delete') target.delete(e.key);
        else if (!target.get(keyOf(e.new))) target.set({ ...e.new, metadata: { ...e.new.metadata, generation: 1, uid: `made-${e.key}` } });
      }
    },
    { initial: true },
  );
}

/** An Ingress has no conditions: what does not work of one is said here when it comes up. */
export function logIngressProblems(problems: Collection<IngressProblem>, log: Logger): void {
  problems.subscribe((events) => {
    for (const e of events) {
      if (e.type === 'delete') log.info({ ingress: e.key }, 'the Ingress works now');
      else log.warn({ ingress: e.key, problems: e.new.messages }, 'a part of the Ingress does not work; the rest of it serves');
    }
  });
}
