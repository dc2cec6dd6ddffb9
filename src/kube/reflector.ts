// [kind at the API server] -> list + watch -> [Source<T>]. Runs until stopped and never gives up: the last known objects stay while the API
// server is away, and after a gap the source is made equal to what the server has (docs/decisions/0003-own-reflector.md).
import type { Source } from '../krt/index.ts';
import { ApiError, isExpired } from './api-error.ts';
import { backoffMillis, pause } from './backoff.ts';
import type { KubeClient, Selection } from './client.ts';
import { crdAppearances } from './crd-appearances.ts';
import type { Resource } from './resources.ts';
import { resourceName } from './resources.ts';
import type { KubeObject } from './types/meta.ts';
import { keyOf } from './types/meta.ts';

export interface ReflectorOptions<T extends KubeObject = KubeObject> extends Selection {
  /** Called with every failure; the reflector goes on by itself. */
  readonly onError?: (error: Error) => void;
  /** Keep only what is read: runs before an object enters the source, after `managedFields` is gone. */
  readonly project?: (object: T) => T;
  /** Called after the source was made equal to a list, before `markSynced`, and after each event. */
  readonly onChange?: () => void;
  /** Objects a page of a list. Default 500. */
  readonly pageSize?: number;
  /** Shortest and longest wait before a retry, in milliseconds. Default 100 and 30,000. */
  readonly backoff?: { readonly first: number; readonly max: number };
  /** Seconds after which a watch is renewed. Default: 300..600, at random, so that renewals spread. */
  readonly watchSeconds?: number;
  /** Seconds of silence after which a connection counts as dead. Default 150: bookmarks come about once a minute. */
  readonly inactivitySeconds?: number;
}

export interface Reflector {
  readonly resource: Resource;
  /** Milliseconds since the epoch of the last event, bookmark or list; 0 before the first. */
  readonly lastEventAt: number;
  /** Lists since the start; more than one means that a watch could not be resumed. */
  readonly relists: number;
  /** ADDED, MODIFIED and DELETED since the start, initial ones included. */
  readonly events: number;
  /** Failures since the start. */
  readonly errors: number;
  readonly state: 'starting' | 'watching' | 'waiting for the CRD' | 'retrying' | 'stopped';
  /** The version that the cache stands at. */
  readonly resourceVersion: string;
  /** Ends the watch; the source keeps its objects. */
  stop(): Promise<void>;
}

/** Equality of kinds that count generations: a status write is no event, while `get` still returns the newest object. */
export function sameSpec(a: KubeObject, b: KubeObject): boolean {
  const x = a.metadata;
  const y = b.metadata;
  if (x.uid !== y.uid || x.generation !== y.generation || x.deletionTimestamp !== y.deletionTimestamp) return false;
  // A kind that counts no generations (Service, Secret) can only be told apart by its version.
  if (x.generation === undefined) return x.resourceVersion === y.resourceVersion && x.resourceVersion !== undefined;
  return sameStrings(x.labels, y.labels) && sameStrings(x.annotations, y.annotations);
}

/** Equality of objects that the API server stored: the same incarnation and version. */
export function sameVersion(a: KubeObject, b: KubeObject): boolean {
  const { uid, resourceVersion } = a.metadata;
  return uid === b.metadata.uid && resourceVersion !== undefined && resourceVersion === b.metadata.resourceVersion;
}

function sameStrings(a: Readonly<Record<string, string>> = {}, b: Readonly<Record<string, string>> = {}): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** Takes away what nobody reads and what doubles an object's size. Changes the object, which must be fresh from the wire. */
function strip<T extends KubeObject>(object: T): T {
  const metadata = object.metadata as { managedFields?: unknown; annotations?: Record<string, string> };
  if (metadata.managedFields !== undefined) delete metadata.managedFields;
  if (metadata.annotations && lastApplied in metadata.annotations) {
    delete metadata.annotations[lastApplied];
    if (Object.keys(metadata.annotations).length === 0) delete metadata.annotations;
  }
  return object;
}

/** API servers that answered that they cannot stream lists (feature gate off, or an etcd before 3.4.31): asked once, then paged. */
const noWatchList = new WeakSet<KubeClient>();

/**
 * Keeps `target` equal to the objects of a kind. `target.markSynced` is called after the first complete list, or at once when the kind's
 * CRD is not installed; it is picked up when it appears.
 */
export function reflect<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  target: Source<T>,
  o: ReflectorOptions<T> = {},
): Reflector {
  const abort = new AbortController();
  const { signal } = abort;
  const selection: Selection = {
    namespace: o.namespace,
    labelSelector: o.labelSelector,
    fieldSelector: o.fieldSelector,
    metadataOnly: o.metadataOnly,
  };
  const first = o.backoff?.first ?? 100;
  const max = o.backoff?.max ?? 30_000;
  let failures = 0;
  const me = {
    resource,
    lastEventAt: 0,
    relists: 0,
    events: 0,
    errors: 0,
    state: 'starting' as Reflector['state'],
    resourceVersion: '',
    stop: async () => {
      abort.abort();
      await running;
    },
  };

  const prepare = (object: T): T => (o.project ? o.project(strip(object)) : strip(object));

  const replaceAll = (items: readonly T[], resourceVersion: string): void => {
    target.reset(items);
    me.relists++;
    me.events += items.length;
    me.resourceVersion = resourceVersion;
    me.lastEventAt = Date.now();
    failures = 0;
    o.onChange?.();
    target.markSynced();
  };

  const list = async (): Promise<void> => {
    const items: T[] = [];
    let next: string | undefined;
    let resourceVersion = '';
    do {
      const page = await client.list(resource, { ...selection, limit: o.pageSize ?? 500, continue: next, signal });
      for (const item of page.items) items.push(prepare(item));
      next = page.continue;
      resourceVersion = page.resourceVersion;
    } while (next !== undefined);
    replaceAll(items, resourceVersion);
  };

  /** One watch until it ends. With `initial` the current objects come first and are taken as a list when the bookmark closes them. */
  const watch = async (initial: boolean): Promise<void> => {
    let collecting: Map<string, T> | undefined = initial ? new Map() : undefined;
    const timeoutSeconds = o.watchSeconds ?? Math.round(300 + Math.random() * 300);
    const options = {
      ...selection,
      timeoutSeconds,
      inactivitySeconds: o.inactivitySeconds ?? 150,
      sendInitialEvents: initial,
      resourceVersion: initial ? undefined : me.resourceVersion,
    };
    const watched = client.watch(
      resource,
      options,
      ({ type, object }) => {
        const { resourceVersion } = object.metadata;
        me.lastEventAt = Date.now();
        if (type === 'BOOKMARK') {
          failures = 0;
          if (resourceVersion !== undefined && !collecting) me.resourceVersion = resourceVersion;
          if (collecting && object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true') {
            const items = [...collecting.values()];
            collecting = undefined;
            replaceAll(items, resourceVersion ?? '');
            me.state = 'watching';
          } else if (collecting) {
            throw new ApiError(
              { verb: 'watch', resource },
              { status: 400, reason: 'BadRequest', message: 'the server ignores sendInitialEvents' },
            );
          }
          return;
        }
        if (collecting) {
          if (type === 'DELETED') collecting.delete(keyOf(object));
          else collecting.set(keyOf(object), prepare(object));
          return;
        }
        failures = 0;
        me.events++;
        if (type === 'DELETED') target.delete(keyOf(object));
        else target.set(prepare(object));
        // The version moves only after the object is in, so that a resume repeats rather than misses.
        if (resourceVersion !== undefined) me.resourceVersion = resourceVersion;
        o.onChange?.();
      },
      signal,
    );
    try {
      await watched;
    } catch (error) {
      // A server sends no bookmark of a kind that it has seen no event of: such a watch is renewed, as one whose time is over.
      if (collecting || !isSilence(error)) throw error;
    }
  };

  const listAndWatch = async (): Promise<void> => {
    if (me.resourceVersion === '' && !noWatchList.has(client)) {
      try {
        await watch(true);
        return;
      } catch (error) {
        if (me.resourceVersion !== '' || !refusesWatchList(error)) throw error;
        noWatchList.add(client);
      }
    }
    if (me.resourceVersion === '') await list();
    me.state = 'watching';
    await watch(false);
  };

  const retry = async (error: unknown): Promise<void> => {
    if (isExpired(error)) {
      // Not a failure: a quiet kind under a busy etcd. The next round lists.
      me.resourceVersion = '';
      failures++;
      await pause(backoffMillis(failures - 1, first, max), signal);
      return;
    }
    const problem = error instanceof Error ? error : new Error(String(error));
    if (problem instanceof ApiError && problem.status === 404) {
      me.resourceVersion = '';
      me.state = 'waiting for the CRD';
      target.reset([]);
      o.onChange?.();
      target.markSynced();
      // A kind of the API server itself does not appear later, but an aggregated API may.
      await crdAppearances(client).appears(resourceName(resource), AbortSignal.any([signal, AbortSignal.timeout(60_000)]));
      return;
    }
    me.errors++;
    me.state = 'retrying';
    failures++;
    o.onError?.(problem);
    // An answer that keeps coming may be about our version (an etcd restored from a backup): forget it.
    if (failures >= 5 && problem instanceof ApiError && problem.status > 0) me.resourceVersion = '';
    const asked = problem instanceof ApiError ? (problem.retryAfter ?? 0) * 1000 : 0;
    await pause(Math.max(asked, backoffMillis(failures, first, max)), signal);
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      const startedAt = performance.now();
      try {
        await listAndWatch();
        // A server that ends watches at once must not be asked in a tight loop.
        if (performance.now() - startedAt < 1000) await pause(backoffMillis(++failures, first, max), signal);
      } catch (error) {
        if (!signal.aborted) await retry(error);
      }
    }
    me.state = 'stopped';
  };
  const running = run();
  return me;
}

/** Whether the server cannot stream a list: it refuses the parameters (400, 422), or its storage has no progress notifications (an ERROR event). */
function refusesWatchList(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === 400 || error.status === 422 || /RequestWatchProgress|sendInitialEvents/.test(error.message);
}

function isSilence(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'UND_ERR_BODY_TIMEOUT';
}
