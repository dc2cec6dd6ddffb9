// [names in use] + metadata watch of all -> GET of those -> [Source<T>]. The data of a Secret that nobody references is never read: a controller
// that is taken over, or dumps its memory, gives away only what it serves.
import type { Collection, Source } from '../krt/index.ts';
import { backoffMillis, pause } from './backoff.ts';
import type { KubeClient } from './client.ts';
import type { Reflector, ReflectorOptions } from './reflector.ts';
import { reflect } from './reflector.ts';
import type { Resource } from './resources.ts';
import type { KubeObject } from './types/meta.ts';
import { keyOf } from './types/meta.ts';

/** How many objects are read at once. */
const concurrency = 8;

/** A reflector that reads only what is wanted. */
export interface ReferencedReflector extends Reflector {
  /** Resolves when everything that is wanted now was read, or could not be read at the first attempt. */
  settled(): Promise<void>;
}

/**
 * Keeps `target` equal to the objects of `wanted` (keys `namespace/name`) that exist. An object is read when it is first wanted and whenever its
 * version changes; it leaves when it is deleted or no longer wanted. `target.markSynced` is called after the first complete list of names: what is
 * wanted is known only after the graph's first flush, so waiting for the data would wait forever.
 */
export function reflectReferenced<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  wanted: Collection<{ readonly key: string }>,
  target: Source<T>,
  o: Omit<ReflectorOptions<T>, 'metadataOnly' | 'onChange'> = {},
): ReferencedReflector {
  const abort = new AbortController();
  const versions = new Map<string, string>();
  const queue = new Set<string>();
  const running = new Set<string>();
  const failures = new Map<string, number>();

  /** Called when nothing is being read for the first time any more. */
  const waiting: (() => void)[] = [];
  const isSettled = (): boolean => [...queue, ...running].every((key) => failures.has(key));
  const settle = (): void => {
    if (isSettled()) for (const resolve of waiting.splice(0)) resolve();
  };

  const finish = (key: string): void => {
    running.delete(key);
    check(key);
    next();
    settle();
  };

  const read = async (key: string): Promise<void> => {
    try {
      const object = await client.get(resource, key, { signal: abort.signal });
      failures.delete(key);
      // Between the question and the answer it may have become unwanted or gone.
      if (abort.signal.aborted || !wanted.get(key)) return;
      if (!object || !versions.has(key)) {
        target.delete(key);
        versions.delete(key);
        return;
      }
      const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown };
      const stored = { ...object, metadata };
      target.set(o.project ? o.project(stored) : stored);
      // The answer may be newer than the watch: believe it, or the event that follows would read it once more.
      versions.set(key, metadata.resourceVersion ?? '');
    } catch (error) {
      if (abort.signal.aborted) return;
      o.onError?.(error instanceof Error ? error : new Error(String(error)));
      const n = (failures.get(key) ?? 0) + 1;
      failures.set(key, n);
      settle();
      await pause(backoffMillis(n, o.backoff?.first ?? 100, o.backoff?.max ?? 30_000), abort.signal);
    }
  };

  const next = (): void => {
    for (const key of queue) {
      if (running.size >= concurrency || abort.signal.aborted) return;
      queue.delete(key);
      running.add(key);
      void read(key).then(() => finish(key));
    }
  };

  /** Brings one key to what the watch and the wish say. */
  const check = (key: string): void => {
    const version = versions.get(key);
    if (version === undefined || !wanted.get(key)) {
      queue.delete(key);
      target.delete(key);
      return;
    }
    if (running.has(key) || target.get(key)?.metadata.resourceVersion === version) return;
    queue.add(key);
    next();
  };

  // What the metadata reflector writes into: it looks like a Source and turns every change into a check.
  const names: Pick<Source<T>, 'set' | 'delete' | 'reset' | 'markSynced'> = {
    set: (object) => {
      const key = keyOf(object);
      versions.set(key, object.metadata.resourceVersion ?? '');
      if (wanted.get(key)) check(key);
    },
    delete: (key) => {
      versions.delete(key);
      check(key);
    },
    reset: (all) => {
      const seen = new Map([...all].map((object) => [keyOf(object), object.metadata.resourceVersion ?? '']));
      const gone = [...versions.keys()].filter((key) => !seen.has(key));
      for (const key of gone) versions.delete(key);
      for (const [key, version] of seen) versions.set(key, version);
      for (const key of gone) check(key);
      for (const { key } of wanted.list()) check(key);
    },
    markSynced: () => target.markSynced(),
  };
  const { project: _, ...options } = o;
  const reflector = reflect(client, resource, names as Source<T>, {
    ...options,
    metadataOnly: true,
    // Of all the others only the version is kept.
    project: (object) => ({ ...object, metadata: { ...slim(object.metadata) } }),
  });
  const subscription = wanted.subscribe(
    (events) => {
      for (const e of events) if (e.type !== 'update') check(e.key);
    },
    { initial: true },
  );

  const stop = async (): Promise<void> => {
    abort.abort();
    subscription[Symbol.dispose]();
    await reflector.stop();
  };
  // Its counters stay live: they are read through the prototype.
  const settled = (): Promise<void> => (isSettled() ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)));
  return Object.create(reflector, { stop: { value: stop }, settled: { value: settled } }) as ReferencedReflector;
}

function slim(m: KubeObject['metadata']): KubeObject['metadata'] {
  const { name, namespace, resourceVersion, uid } = m;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(uid === undefined ? {} : { uid }),
  };
}
