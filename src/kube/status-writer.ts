// [Collection<DesiredStatus>] + leadership -> merge patches of /status.
//
// Why a merge patch with a resourceVersion, and not server-side apply: `status.parents` and `status.ancestors` are atomic lists in the CRDs (Gateway API
// 1.6, x-kubernetes-list-type: atomic), so an apply of our entry would take the whole list from the other controllers. One way for all kinds is less to
// get wrong; the version makes a write fail (409) when anything changed since we looked, and then we look again.
import { hash } from 'node:crypto';
import type { Collection, Event } from '../krt/index.ts';
import { isConflict, isNotFound } from './api-error.ts';
import type { KubeClient } from './client.ts';
import type { Resource } from './resources.ts';
import type { DesiredStatus } from './status.ts';
import { mergeStatus } from './status.ts';
import type { KubeObject } from './types/meta.ts';
import { workQueue } from './work-queue.ts';
import type { WorkQueue } from './work-queue.ts';

export interface StatusWriterOptions {
  /** The newest object that our cache has. Undefined: it is gone, nothing is written. */
  readonly current: (resource: Resource, key: string) => KubeObject | undefined;
  readonly fieldManager: string;
  /** Calls at once. Default 8. */
  readonly concurrency?: number;
  /** Writes per second on average and at once, over all objects. Default 200 and 400. */
  readonly rate?: number;
  readonly burst?: number;
  readonly backoff?: { readonly first: number; readonly max: number };
  /** Milliseconds between two writes of one object; see `WorkQueueOptions.spacing`. Default 0. */
  readonly spacing?: (resource: Resource) => number;
  /** Milliseconds between looks at every status, against others who overwrite ours. Default 5 minutes. */
  readonly resync?: number;
  readonly onError?: (desired: DesiredStatus, error: unknown) => void;
  /** RFC 3339 in whole seconds. */
  readonly now?: () => string;
}

export interface StatusWriterStats {
  readonly writes: number;
  /** Looked at and found right. */
  readonly skipped: number;
  readonly conflicts: number;
  readonly errors: number;
  /** Waiting, being written or to be retried. */
  readonly pending: number;
}

export interface StatusWriter {
  /** Begins to write, starting with everything: call when leadership is acquired. */
  start(): void;
  /** Drops what waits; resolves when running calls are done. Call when leadership is lost. */
  stop(): Promise<void>;
  /** Resolves when nothing is left to write. */
  idle(): Promise<void>;
  readonly stats: StatusWriterStats;
}

/** Attempts of one write before it waits its turn again. */
const maxConflicts = 5;

/** Writes the statuses of `desired` while started: one call at a time for an object, nothing when the object has it already. */
export function statusWriter(client: KubeClient, desired: Collection<DesiredStatus>, o: StatusWriterOptions): StatusWriter {
  const now = o.now ?? (() => `${new Date().toISOString().slice(0, 19)}Z`);
  const counts = { writes: 0, skipped: 0, conflicts: 0, errors: 0 };
  /** Statuses to clear: the object is no longer ours. */
  const retired = new Map<string, DesiredStatus>();
  /** What the server made of our last write: newer than the cache for a moment, and with defaults that we do not know. */
  const written = new Map<string, Written>();
  /** What `needed` found: `write` follows at once and need not find it again. */
  let planned: Planned | undefined;
  let queue: WorkQueue | undefined;
  let subscription: Disposable | undefined;
  let timer: NodeJS.Timeout | undefined;

  /** What to send for an object, or undefined when there is nothing to change. */
  const planOf = (d: DesiredStatus, object: KubeObject): Readonly<Record<string, unknown>> | undefined => {
    // Computed from an older spec: the newer one is on its way and brings a newer status.
    if (d.generation !== undefined && (object.metadata.generation ?? 0) > d.generation) return undefined;
    const status = mergeStatus(object, d, now());
    const last = written.get(d.key);
    // Sent before, and the server keeps it in this form.
    return status && last?.sent === digest(status) && last.kept === digest(statusOf(object)) ? undefined : status;
  };
  const newest = (d: DesiredStatus): KubeObject | undefined => {
    const cached = o.current(d.resource, d.object);
    const last = written.get(d.key);
    if (!last?.object || !cached) return cached;
    if (isNewer(last.object, cached)) return last.object;
    // The cache has caught up: a second copy of every object would double its memory.
    last.object = undefined;
    return cached;
  };
  const find = (key: string): DesiredStatus | undefined => desired.get(key) ?? retired.get(key);
  /** `d` is what was looked at: an object that was given up meanwhile still has its turn to come. */
  const settled = (key: string, d: DesiredStatus | undefined): void => {
    if (d && retired.get(key) === d) retired.delete(key);
    if (!find(key)) written.delete(key);
  };

  const needed = (key: string): boolean => {
    const d = find(key);
    const object = d && newest(d);
    const status = d && object && planOf(d, object);
    if (status) {
      planned = { d, object, status };
      return true;
    }
    counts.skipped++;
    settled(key, d);
    return false;
  };

  const write = async (key: string): Promise<void> => {
    const d = find(key);
    const object = d && newest(d);
    if (object) await patch(d, object);
    settled(key, d);
  };

  const patch = async (d: DesiredStatus, first: KubeObject): Promise<void> => {
    let object: KubeObject | undefined = first;
    for (let conflicts = 0; object;) {
      const status: Planned['status'] | undefined = planned?.d === d && planned.object === object ? planned.status : planOf(d, object);
      planned = undefined;
      if (!status) return;
      try {
        const body = { metadata: { resourceVersion: object.metadata.resourceVersion, uid: object.metadata.uid }, status };
        const answer = await client.patch(d.resource, d.object, body, { subresource: 'status', fieldManager: o.fieldManager });
        counts.writes++;
        written.set(d.key, { sent: digest(status), kept: digest(statusOf(answer)), object: versionAndStatus(answer) });
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isConflict(error) || ++conflicts > maxConflicts) throw error;
        counts.conflicts++;
        const fresh: KubeObject | undefined = await client.get(d.resource, d.object);
        // Another object of the same name: its own status will be computed.
        object = fresh?.metadata.uid === object.metadata.uid ? fresh : undefined;
      }
    }
  };

  const onEvents = (events: readonly Event<DesiredStatus>[]): void => {
    for (const e of events) {
      if (e.type === 'delete') {
        const cleared = clear(e.old);
        if (cleared && o.current(cleared.resource, cleared.object)) {
          retired.set(e.key, cleared);
        } else {
          written.delete(e.key);
          queue?.forget(e.key);
          continue;
        }
      } else {
        retired.delete(e.key);
      }
      queue?.add(e.key);
    }
  };

  return {
    start() {
      if (queue) return;
      queue = workQueue(write, {
        concurrency: o.concurrency ?? 8,
        rate: o.rate ?? 200,
        burst: o.burst ?? 400,
        ...(o.backoff ? { backoff: o.backoff } : {}),
        needed,
        spacing: (key) => {
          const d = find(key);
          return d ? (o.spacing?.(d.resource) ?? 0) : 0;
        },
        onError: (key, error) => {
          counts.errors++;
          const d = find(key);
          if (d) o.onError?.(d, error);
        },
      });
      for (const d of desired.list()) queue.add(d.key);
      subscription = desired.subscribe(onEvents);
      timer = setInterval(() => desired.list().forEach((d) => queue?.add(d.key)), o.resync ?? 300_000);
      timer.unref();
    },
    async stop() {
      const running = queue;
      queue = undefined;
      clearInterval(timer);
      subscription?.[Symbol.dispose]();
      subscription = undefined;
      await running?.stop();
      retired.clear();
      written.clear();
    },
    idle: () => queue?.idle() ?? Promise.resolve(),
    get stats() {
      return { ...counts, pending: queue?.size ?? 0 };
    },
  };
}

/** What the server made of a write. */
interface Written {
  /** Digests of what was sent, and of the status that came of it. */
  readonly sent: string;
  readonly kept: string;
  /** What matters of the answer, for as long as the cache is older. */
  object: KubeObject | undefined;
}

interface Planned {
  readonly d: DesiredStatus;
  readonly object: KubeObject;
  readonly status: Readonly<Record<string, unknown>>;
}

/** What the next write of a status looks at; the rest of an answer is several times as large. */
function versionAndStatus(o: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, generation } = o.metadata;
  const metadata = { name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) };
  return {
    apiVersion: o.apiVersion,
    kind: o.kind,
    metadata: { ...metadata, ...(resourceVersion !== undefined && { resourceVersion }), ...(generation !== undefined && { generation }) },
    status: statusOf(o),
  } as KubeObject;
}

/** Of a JSON value; the order of fields counts, which is the server's own for what it stores. */
function digest(value: unknown): string {
  return hash('sha1', JSON.stringify(value) ?? '', 'base64');
}

/** What to write for an object that we no longer have a say about: none of our entries. A whole status is left as it is. */
function clear(d: DesiredStatus): DesiredStatus | undefined {
  const generation = undefined;
  switch (d.status.kind) {
    case 'parents':
      return { ...d, generation, status: { ...d.status, entries: [] } };
    case 'ancestors':
      return { ...d, generation, status: { ...d.status, entries: [] } };
    case 'conditions':
      return { ...d, generation, status: { ...d.status, conditions: [] } };
    case 'whole':
      return undefined;
    default:
      return d.status satisfies never;
  }
}

function statusOf(o: KubeObject): unknown {
  return (o as { status?: unknown }).status;
}

/** Versions of one resource are ordered numbers (Kubernetes 1.35, KEP-5504). Anything else: trust the cache. */
function isNewer(a: KubeObject, b: KubeObject): boolean {
  const [x = '', y = ''] = [a.metadata.resourceVersion, b.metadata.resourceVersion];
  if (a.metadata.uid !== b.metadata.uid || !/^\d+$/.test(x) || !/^\d+$/.test(y)) return false;
  return x.length === y.length ? x > y : x.length > y.length;
}
