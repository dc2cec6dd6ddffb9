// [Lease] <-> [leading: yes or no]. One replica writes at a time: who holds the Lease renews it every 2 s, gives up after 10 s without success,
// and another takes over after 15 s without a change. Time is each replica's own monotonic clock; times in the Lease are for people only.
import { isConflict } from './api-error.ts';
import { pause } from './backoff.ts';
import type { KubeClient } from './client.ts';
import { Leases } from './resources.ts';
import type { Lease } from './types/core.ts';

export interface LeaderElectionOptions {
  readonly namespace: string;
  readonly name: string;
  /** Unique among the replicas: the Pod's name. */
  readonly identity: string;
  /** Milliseconds without a change after which a Lease is free; after which a holder gives up; between tries. Defaults of client-go: 15 s, 10 s, 2 s. */
  readonly leaseDuration?: number;
  readonly renewDeadline?: number;
  readonly retryPeriod?: number;
  readonly onAcquired: () => void;
  /** Also called by `stop` while leading, and awaited before the Lease is released: another replica must not start before we have ended. */
  readonly onLost: () => void | Promise<void>;
  readonly onError?: (error: Error) => void;
  /** Milliseconds, monotonic. */
  readonly clock?: () => number;
}

export interface LeaderElection {
  readonly leading: boolean;
  /** Who holds the Lease as far as we have seen; empty when nobody does. */
  readonly holder: string;
  /** Ends the candidacy and releases the Lease, so that another replica leads within a retry period. */
  stop(): Promise<void>;
}

/** Runs for leadership until stopped. Losing it is no end: the candidacy goes on. */
export function leaderElection(client: KubeClient, o: LeaderElectionOptions): LeaderElection {
  const leaseDuration = o.leaseDuration ?? 15_000;
  const renewDeadline = o.renewDeadline ?? 10_000;
  const retryPeriod = o.retryPeriod ?? 2000;
  const clock = o.clock ?? (() => performance.now());
  const key = `${o.namespace}/${o.name}`;
  const abort = new AbortController();
  let seen: Lease | undefined;
  /** When `seen` was last found changed. */
  let seenAt = 0;
  let renewedAt = 0;
  let leading = false;

  const observe = (lease: Lease): void => {
    if (lease.metadata.resourceVersion !== seen?.metadata.resourceVersion) seenAt = clock();
    seen = lease;
  };

  /** Takes or renews the Lease. False when somebody else has it, or wrote first. */
  const claim = async (): Promise<boolean> => {
    const time = microTime();
    const spec = { holderIdentity: o.identity, leaseDurationSeconds: Math.max(1, Math.round(leaseDuration / 1000)), renewTime: time };
    try {
      // A holder that nobody disturbed knows the Lease as it is: one call.
      const current = leading && seen ? seen : await client.get(Leases, key);
      if (!current) {
        const metadata = { name: o.name, namespace: o.namespace };
        const fresh = { ...spec, acquireTime: time, leaseTransitions: 0 };
        observe(await client.create(Leases, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: fresh }));
        return true;
      }
      if (current !== seen) observe(current);
      const holder = current.spec?.holderIdentity ?? '';
      const mine = holder === o.identity;
      if (holder !== '' && !mine && clock() - seenAt < leaseDuration) return false;
      const transitions = (current.spec?.leaseTransitions ?? 0) + (mine ? 0 : 1);
      const acquireTime = mine ? (current.spec?.acquireTime ?? time) : time;
      observe(await client.replace(Leases, { ...current, spec: { ...current.spec, ...spec, acquireTime, leaseTransitions: transitions } }));
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      // Somebody wrote: look again next time, as a holder too.
      const now = await client.get(Leases, key);
      if (now) observe(now);
      return now?.spec?.holderIdentity === o.identity && leading;
    }
  };

  const lose = async (): Promise<void> => {
    leading = false;
    seen = undefined;
    await o.onLost();
  };

  const run = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      // After a long sleep of the process somebody else may lead already: give up before anything else happens.
      if (leading && clock() - renewedAt >= renewDeadline) await lose();
      const startedAt = clock();
      const limit = leading ? renewDeadline - (startedAt - renewedAt) : renewDeadline;
      try {
        const claimed = await within(claim(), limit);
        if (claimed) {
          // Counted from before the call: the server may have stored it at any time since.
          renewedAt = startedAt;
          if (!leading && !abort.signal.aborted && clock() - renewedAt < renewDeadline) {
            leading = true;
            o.onAcquired();
          }
        } else if (leading) {
          await lose();
        }
      } catch (error) {
        o.onError?.(error instanceof Error ? error : new Error(String(error)));
      }
      const rest = leading ? Math.min(retryPeriod, renewedAt + renewDeadline - clock()) : retryPeriod * (1 + Math.random() * 0.2);
      await pause(rest, abort.signal);
    }
  };
  const running = run();

  const release = async (): Promise<void> => {
    const current = await client.get(Leases, key);
    if (current?.spec?.holderIdentity !== o.identity) return;
    await client.replace(Leases, {
      ...current,
      spec: { ...current.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime() },
    });
  };

  return {
    get leading() {
      return leading;
    },
    get holder() {
      return leading ? o.identity : (seen?.spec?.holderIdentity ?? '');
    },
    async stop() {
      abort.abort();
      await running;
      // Also when a claim came through after the end was asked for.
      const ours = leading || seen?.spec?.holderIdentity === o.identity;
      if (leading) await lose();
      if (ours)
        await within(release(), 3000).catch((error: unknown) => o.onError?.(error instanceof Error ? error : new Error(String(error))));
    },
  };
}

/** The result, or a rejection after `ms`: a call that hangs must not keep a leader in office. */
async function within<T>(call: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`The Lease was not answered within ${Math.round(ms)} ms: check the API server.`)),
      Math.max(0, ms),
    );
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** metav1.MicroTime wants six digits. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
