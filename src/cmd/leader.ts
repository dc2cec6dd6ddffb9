/** What the leader alone does: statuses, proxies, the GatewayClass. Every other replica computes the same and waits. */
import { type GatewayManifests, type DeployProblem, fieldManager, startApplier } from '../deploy/applier.ts';
import { controllerName } from '../gateway/conditions.ts';
import { inboundBindingAnnotation, hboneClassName, waypointClassName, waypointPort } from '../gateway/waypoint-class.ts';
import type { Collection, Source } from '../krt/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { type LeaderElection, leaderElection } from '../kube/lease.ts';
import { GatewayClasses } from '../kube/resources.ts';
import type { DesiredStatus } from '../kube/status.ts';
import { type StatusWriterStats, statusWriter } from '../kube/status-writer.ts';
import type { Gateway, GatewayClass } from '../kube/types/gateway-api.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { makeIngressGateways } from './ingress-gateways.ts';
import type { Logger } from './log.ts';
import type { Settings } from './settings.ts';

/** At most one write a second of the status of one Gateway; the first one at once. */
const gatewaySpacingMs = 1000;

export const leaseName = 'kgateway-envoy';

export interface LeaderInputs {
  readonly client: KubeClient;
  readonly settings: Settings;
  readonly identity: string;
  readonly statuses: Collection<DesiredStatus>;
  /** The newest object that the cache has. */
  readonly current: (kind: string, key: string) => KubeObject | undefined;
  readonly manifests: Collection<GatewayManifests>;
  readonly deployProblems: Source<DeployProblem>;
  /** Gateways of IngressClasses that are to exist, and all Gateways that do. */
  readonly ingressGateways: Collection<Gateway>;
  readonly gateways: Collection<Gateway>;
  readonly observed: readonly Collection<KubeObject>[];
  readonly log: Logger;
}

export interface Leader {
  readonly leading: () => boolean;
  readonly statuses: () => StatusWriterStats;
  stop(): Promise<void>;
}

/** Runs for leadership and does its work while it has it. */
export function runLeader(o: LeaderInputs): Leader {
  const { client, log } = o;
  const writer = statusWriter(client, o.statuses, {
    current: (resource, key) => o.current(resource.kind, key),
    fieldManager,
    // Its count of attached routes changes with every route.
    spacing: (resource) => (resource.kind === 'Gateway' ? gatewaySpacingMs : 0),
    onError: (desired, error) =>
      log.error({ object: `${desired.resource.kind} ${desired.object}`, err: error }, 'a status could not be written; it is tried again'),
  });
  let applier: AsyncDisposable | undefined;
  let ingress: AsyncDisposable | undefined;
  let leading = false;

  const begin = (): void => {
    leading = true;
    log.info({ identity: o.identity }, 'leading');
    void ensureClasses(o).catch((error: unknown) =>
      log.error({ err: error }, 'the GatewayClass could not be written; check the RBAC of the controller'),
    );
    writer.start();
    ingress = makeIngressGateways({ client, wanted: o.ingressGateways, existing: o.gateways, log });
    applier = startApplier({ manifests: o.manifests, problems: o.deployProblems, client, observed: o.observed });
  };
  const end = async (): Promise<void> => {
    if (!leading) return;
    leading = false;
    log.info({ identity: o.identity }, 'no longer leading');
    await Promise.all([writer.stop(), applier?.[Symbol.asyncDispose](), ingress?.[Symbol.asyncDispose]()]);
  };

  let election: LeaderElection | undefined;
  if (o.settings.disableLeaderElection) begin();
  else {
    election = leaderElection(client, {
      namespace: o.settings.namespace,
      name: leaseName,
      identity: o.identity,
      onAcquired: begin,
      onLost: end,
      onError: (error) => log.warn({ err: error }, 'leader election'),
    });
  }
  return {
    leading: () => leading,
    statuses: () => writer.stats,
    stop: async () => {
      await election?.stop();
      await end();
    },
  };
}

/** The classes that the controller makes. */
function classesOf(settings: Settings): readonly (Pick<GatewayClass, 'metadata'> & { readonly description: string })[] {
  const ingress = { metadata: { name: 'kgateway' }, description: 'Standard class for managing Gateway API ingress traffic.' };
  const waypoint = {
    metadata: { name: waypointClassName, annotations: { [inboundBindingAnnotation]: `PROXY/${waypointPort}` } },
    description: 'Specialized class for Istio ambient mesh waypoint proxies.',
  };
  // No binding: its proxies take HBONE themselves.
  const hbone = { metadata: { name: hboneClassName }, description: 'Istio ambient mesh waypoint proxies that end HBONE themselves.' };
  return settings.enableWaypoint ? [ingress, waypoint, hbone] : [ingress];
}

/** Creates the GatewayClasses of the controller, with the parameters that the settings give them. */
async function ensureClasses({ client, settings }: LeaderInputs): Promise<void> {
  const refs = JSON.parse(settings.gatewayClassParametersRefs) as Record<string, { name: string; namespace: string } | undefined>;
  for (const { metadata, description } of classesOf(settings)) {
    const ref = refs[metadata.name];
    const gatewayClass: GatewayClass = {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'GatewayClass',
      metadata,
      spec: {
        controllerName,
        description,
        ...(ref && {
          parametersRef: { group: 'gateway.kgateway.dev', kind: 'GatewayParameters', name: ref.name, namespace: ref.namespace },
        }),
      },
    };
    await client.apply(GatewayClasses, gatewayClass, { fieldManager });
  }
}
