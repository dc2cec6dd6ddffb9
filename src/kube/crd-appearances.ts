import { ApiError } from './api-error.ts';
import { backoffMillis, pause } from './backoff.ts';
import type { KubeClient } from './client.ts';
import { CustomResourceDefinitions } from './resources.ts';
import type { KubeObject } from './types/meta.ts';

/** Tells when a CRD is installed. One metadata-only watch a client, open only while somebody waits. */
export interface CrdAppearances {
  /**
   * Resolves when the CRD `plural.group` is created or changes (a version is added, or it is established), or when `signal` aborts. The kind
   * may be served only a moment later, and without the right to watch CRDs this resolves after a few seconds: the caller asks again.
   */
  appears(name: string, signal: AbortSignal): Promise<void>;
}

const known = new WeakMap<KubeClient, CrdAppearances>();

/** The one of a client. */
export function crdAppearances(client: KubeClient): CrdAppearances {
  const existing = known.get(client);
  if (existing) return existing;
  const created = create(client);
  known.set(client, created);
  return created;
}

/** Milliseconds between tries while the CRD is there but not served yet, and without a watch. */
const settle = 100;
const poll = 5000;

function create(client: KubeClient): CrdAppearances {
  const waiting = new Map<string, Set<() => void>>();
  /** The version of each CRD and when it was first seen, by the monotonic clock. */
  const seen = new Map<string, { version: string; at: number }>();
  let abort: AbortController | undefined;

  const wake = (name: string): void => {
    for (const resolve of waiting.get(name) ?? []) resolve();
  };
  const see = ({ metadata: { name, resourceVersion: version = '' } }: KubeObject): void => {
    if (seen.get(name)?.version === version) return;
    seen.set(name, { version, at: performance.now() });
    wake(name);
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    let resourceVersion = '';
    for (let failures = 0; !signal.aborted;) {
      try {
        if (resourceVersion === '') {
          const list = await client.list(CustomResourceDefinitions, { metadataOnly: true, signal });
          resourceVersion = list.resourceVersion;
          for (const crd of list.items) see(crd);
        }
        await client.watch(
          CustomResourceDefinitions,
          { metadataOnly: true, resourceVersion, timeoutSeconds: 300, inactivitySeconds: 150 },
          ({ type, object }) => {
            failures = 0;
            resourceVersion = object.metadata.resourceVersion ?? resourceVersion;
            if (type === 'ADDED' || type === 'MODIFIED') see(object);
          },
          signal,
        );
      } catch (error) {
        resourceVersion = '';
        failures++;
        const forbidden = error instanceof ApiError && error.status === 403;
        if (!signal.aborted) await pause(forbidden ? poll : backoffMillis(failures, settle, poll), signal);
        if (forbidden) for (const name of waiting.keys()) wake(name);
      }
    }
  };

  return {
    async appears(name, signal) {
      // The API server serves a kind a moment after its CRD is established, and nothing tells when.
      const age = performance.now() - (seen.get(name)?.at ?? -Infinity);
      if (age < poll) return pause(Math.max(settle, age / 4), signal);
      await new Promise<void>((resolve) => {
        const set = waiting.get(name) ?? new Set();
        waiting.set(name, set);
        const done = (): void => {
          signal.removeEventListener('abort', done);
          set.delete(done);
          if (set.size === 0) waiting.delete(name);
          if (waiting.size === 0) {
            abort?.abort();
            abort = undefined;
          }
          resolve();
        };
        set.add(done);
        if (signal.aborted) {
          done();
          return;
        }
        signal.addEventListener('abort', done);
        if (!abort) {
          abort = new AbortController();
          void run(abort.signal);
        }
      });
    },
  };
}
