// Typed calls to the API server over undici: [Resource<T>] + [key] -> [T]. Watches have connections of their own, so no slow call delays an event.
import { createSecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { Dispatcher } from 'undici';
import { Pool, ProxyAgent } from 'undici';
import { ApiError, errorOf, isNotFound, unreachable } from './api-error.ts';
import type { CallSubject } from './api-error.ts';
import type { Credentials, Session } from './credentials.ts';
import { defaultCredentials } from './credentials.ts';
import { lineSplitter } from './lines.ts';
import { apiVersionOf, TokenReviews } from './resources.ts';
import type { Resource } from './resources.ts';
import type { TokenReview } from './types/core.ts';
import type { KubeObject } from './types/meta.ts';
import { keyOf } from './types/meta.ts';

/** Which objects of a kind. */
export interface Selection {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Ask for names, labels and versions only (PartialObjectMetadata): no data ever crosses the wire. */
  readonly metadataOnly?: boolean | undefined;
}

export interface ListOptions extends Selection {
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectList<T> {
  readonly resourceVersion: string;
  readonly continue: string | undefined;
  readonly items: readonly T[];
}

export interface WatchOptions extends Selection {
  readonly resourceVersion?: string | undefined;
  /** Ask for the current objects as ADDED events, closed by a bookmark with the annotation `k8s.io/initial-events-end`. */
  readonly sendInitialEvents?: boolean | undefined;
  /** Seconds after which the server ends the watch. */
  readonly timeoutSeconds: number;
  /** Seconds without a byte after which the connection counts as dead. */
  readonly inactivitySeconds: number;
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

export interface WriteOptions {
  readonly fieldManager?: string | undefined;
  readonly subresource?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface ApplyOptions extends WriteOptions {
  readonly fieldManager: string;
  /** Take fields over from other managers. Default true: a controller's own objects are its own. */
  readonly force?: boolean | undefined;
}

export interface DeleteOptions {
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan' | undefined;
  /** Delete only this incarnation. */
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** Calls reject with `ApiError`. Keys are `namespace/name`, or `name` for a kind without namespaces. */
export interface KubeClient {
  readonly credentials: Credentials;
  /** The object, or undefined when it (or its kind) does not exist. */
  get<T extends KubeObject>(r: Resource<T>, key: string, o?: { metadataOnly?: boolean; signal?: AbortSignal }): Promise<T | undefined>;
  /** One page. */
  list<T extends KubeObject>(r: Resource<T>, o?: ListOptions): Promise<ObjectList<T>>;
  create<T extends KubeObject>(r: Resource<T>, object: T, o?: WriteOptions): Promise<T>;
  /** Server-side apply. `object` holds exactly the fields that the field manager owns. */
  apply<T extends KubeObject>(r: Resource<T>, object: KubeObject, o: ApplyOptions): Promise<T>;
  /** JSON merge patch (an object) or JSON patch (an array). */
  patch<T extends KubeObject>(r: Resource<T>, key: string, patch: object, o?: WriteOptions): Promise<T>;
  /** PUT: a conflict (409) when `object.metadata.resourceVersion` is not the current one. */
  replace<T extends KubeObject>(r: Resource<T>, object: T, o?: WriteOptions): Promise<T>;
  /** False when there was nothing to delete. */
  delete(r: Resource, key: string, o?: DeleteOptions): Promise<boolean>;
  /** Resolves when the server ends the watch; rejects on failure, an ERROR event and silence. */
  watch<T extends KubeObject>(r: Resource<T>, o: WatchOptions, onEvent: (e: WatchEvent<T>) => void, signal: AbortSignal): Promise<void>;
  tokenReview(token: string, audiences: readonly string[]): Promise<NonNullable<TokenReview['status']>>;
  /** GET of any path, as parsed JSON; undefined when it does not exist. */
  raw(path: string): Promise<unknown>;
  close(): Promise<void>;
}

export interface ClientOptions {
  readonly credentials?: Credentials;
  /** Sent as User-Agent: audit logs and flow control see it. */
  readonly userAgent?: string;
  /** Milliseconds until an unanswered call fails. Default 30 s. */
  readonly timeout?: number;
  /** Calls at once; more wait in line. Default 32. */
  readonly connections?: number;
}

const metadataAccept = {
  object: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json',
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json',
};

/** How long a session (token, certificates) is used before it is read again; client-go's interval for token files. */
const sessionMillis = 60_000;

/** A client with the given credentials, or those of the Pod, KUBECONFIG or ~/.kube/config, in this order of what exists. */
export async function kubeClient(o: ClientOptions = {}): Promise<KubeClient> {
  return clientOf(o.credentials ?? (await defaultCredentials()), o);
}

/** `/apis/group/version/namespaces/namespace/plural/name/subresource`, without a query. */
export function pathOf(r: Resource, namespace?: string, name?: string, subresource?: string): string {
  const base = r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`;
  const place = r.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${base}${place}/${r.plural}${name ? `/${encodeURIComponent(name)}` : ''}${subresource ? `/${subresource}` : ''}`;
}

function split(r: Resource, key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf('/');
  if (r.namespaced !== slash > 0) throw new Error(`${key} is no key of ${r.kind}: expected ${r.namespaced ? 'namespace/name' : 'name'}`);
  return slash < 0 ? { namespace: undefined, name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

function query(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const parts = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '');
  return parts.length === 0 ? '' : `?${parts.map(([k, v]) => `${k}=${encodeURIComponent(String(v))}`).join('&')}`;
}

const writeQuery = (o: WriteOptions = {}): Record<string, string | undefined> => ({
  fieldManager: o.fieldManager,
  dryRun: o.dryRun ? 'All' : undefined,
});

interface Call {
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  readonly accept?: string;
  readonly contentType?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  readonly subject: CallSubject;
}

interface Connections {
  readonly session: Session;
  readonly calls: Dispatcher;
  readonly watches: Dispatcher;
  readonly readAt: number;
}

function clientOf(credentials: Credentials, o: ClientOptions): KubeClient {
  const { origin, pathname } = new URL(credentials.server);
  const prefix = pathname.replace(/\/$/, '');
  const timeout = o.timeout ?? 30_000;
  const userAgent = o.userAgent ?? 'kgateway';
  let current: Connections | undefined;
  let reading: Promise<Connections> | undefined;

  const dispatcher = (session: Session, connections: number | null): Dispatcher => {
    // One context for all connections: each would parse certificates of its own, and keep them.
    const connect = {
      ...session.tls,
      secureContext: createSecureContext(session.tls),
      timeout: 10_000,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    };
    const common = { connections, headersTimeout: timeout, bodyTimeout: timeout, keepAliveTimeout: 60_000, allowH2: false };
    if (credentials.proxy === undefined) return new Pool(origin, { ...common, connect: connect as Pool.Options['connect'] & object });
    return new ProxyAgent({ ...common, uri: credentials.proxy, requestTls: connect as NonNullable<ProxyAgent.Options['requestTls']> });
  };

  const readSession = async (): Promise<Connections> => {
    const session = await credentials.session();
    const readAt = performance.now();
    if (current && sameTls(current.session, session)) {
      current = { ...current, session, readAt };
    } else {
      // Running calls and watches end on the old connections; new ones use the new certificates.
      void current?.calls.close();
      void current?.watches.close();
      current = { session, calls: dispatcher(session, o.connections ?? 32), watches: dispatcher(session, null), readAt };
    }
    return current;
  };
  const connect = (): Connections | Promise<Connections> => {
    if (current && performance.now() - current.readAt < sessionMillis) return current;
    reading ??= readSession().finally(() => (reading = undefined));
    return reading;
  };

  const send = async (c: Call, pool: 'calls' | 'watches', inactivity?: number): Promise<Dispatcher.ResponseData> => {
    try {
      for (let attempt = 0; ; attempt++) {
        const connections = await connect();
        const headers: Record<string, string> = { ...connections.session.headers, 'user-agent': userAgent };
        headers['accept'] = c.accept ?? 'application/json';
        if (c.contentType !== undefined) headers['content-type'] = c.contentType;
        const response = await connections[pool].request({
          origin,
          path: prefix + c.path,
          method: c.method,
          headers,
          ...(c.body === undefined ? {} : { body: JSON.stringify(c.body) }),
          ...(c.signal ? { signal: c.signal } : {}),
          ...(inactivity === undefined ? {} : { bodyTimeout: inactivity * 1000 }),
        });
        if (response.statusCode !== 401 || attempt > 0) return response;
        // The token may have been rotated since it was read.
        if (current === connections) current = { ...connections, readAt: -sessionMillis };
        await response.body.dump();
      }
    } catch (error) {
      throw unreachable(c.subject, error);
    }
  };

  const fail = async (c: Call, response: Dispatcher.ResponseData): Promise<never> => {
    const text = await response.body.text().catch(() => '');
    const retryAfter = response.headers['retry-after'];
    throw errorOf(c.subject, response.statusCode, parse(text), typeof retryAfter === 'string' ? retryAfter : undefined);
  };

  const call = async (c: Call): Promise<unknown> => {
    const response = await send(c, 'calls');
    if (response.statusCode >= 300) return fail(c, response);
    try {
      return await response.body.json();
    } catch (error) {
      throw unreachable(c.subject, error);
    }
  };

  const write = <T>(
    r: Resource,
    verb: string,
    method: Dispatcher.HttpMethod,
    key: string,
    body: unknown,
    contentType: string,
    o?: WriteOptions,
    q = {},
  ) => {
    const { namespace, name } = split(r, key);
    const path = pathOf(r, namespace, method === 'POST' ? undefined : name, o?.subresource) + query({ ...writeQuery(o), ...q });
    return call({ method, path, body, contentType, subject: { verb, resource: r, key } }) as Promise<T>;
  };
  const typed = <T extends KubeObject>(r: Resource<T>, object: T): T => ({ ...object, apiVersion: apiVersionOf(r), kind: r.kind });

  const client: KubeClient = {
    credentials,

    async get<T extends KubeObject>(r: Resource<T>, key: string, o: { metadataOnly?: boolean; signal?: AbortSignal } = {}) {
      const { namespace, name } = split(r, key);
      const subject = { verb: 'get', resource: r, key };
      const accept = o.metadataOnly ? { accept: metadataAccept.object } : {};
      try {
        return typed(r, (await call({ method: 'GET', path: pathOf(r, namespace, name), subject, signal: o.signal, ...accept })) as T);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    async list<T extends KubeObject>(r: Resource<T>, o: ListOptions = {}) {
      const { namespace, labelSelector, fieldSelector, limit, resourceVersion } = o;
      const path = pathOf(r, namespace) + query({ labelSelector, fieldSelector, limit, continue: o.continue, resourceVersion });
      const accept = o.metadataOnly ? { accept: metadataAccept.list } : {};
      const subject = { verb: 'list', resource: r, key: namespace };
      const body = (await call({ method: 'GET', path, subject, signal: o.signal, ...accept })) as {
        metadata?: { resourceVersion?: string; continue?: string };
        items?: T[] | null;
      };
      const items = body.items ?? [];
      // Items of a list carry no apiVersion and kind.
      const apiVersion = apiVersionOf(r);
      for (const item of items as { apiVersion: string; kind: string }[]) {
        item.apiVersion = apiVersion;
        item.kind = r.kind;
      }
      return { resourceVersion: body.metadata?.resourceVersion ?? '', continue: body.metadata?.continue || undefined, items };
    },

    create: (r, object, o) => write(r, 'create', 'POST', keyOf(object), object, 'application/json', o),
    replace: (r, object, o) => write(r, 'update', 'PUT', keyOf(object), object, 'application/json', o),
    apply: (r, object, o) =>
      write(r, 'patch', 'PATCH', keyOf(object), object, 'application/apply-patch+yaml', o, { force: o.force ?? true }),
    patch: (r, key, patch, o) =>
      write(r, 'patch', 'PATCH', key, patch, Array.isArray(patch) ? 'application/json-patch+json' : 'application/merge-patch+json', o),

    async delete(r, key, o = {}) {
      const { namespace, name } = split(r, key);
      const preconditions = o.uid || o.resourceVersion ? { uid: o.uid, resourceVersion: o.resourceVersion } : undefined;
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: o.propagation ?? 'Background', preconditions };
      const subject = { verb: 'delete', resource: r, key };
      try {
        await call({ method: 'DELETE', path: pathOf(r, namespace, name), body, contentType: 'application/json', subject });
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },

    async watch<T extends KubeObject>(r: Resource<T>, o: WatchOptions, onEvent: (e: WatchEvent<T>) => void, signal: AbortSignal) {
      const { labelSelector, fieldSelector, resourceVersion, timeoutSeconds } = o;
      const initial = o.sendInitialEvents ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' } : {};
      const path =
        pathOf(r, o.namespace) +
        query({ watch: true, allowWatchBookmarks: true, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, ...initial });
      const accept = o.metadataOnly ? { accept: metadataAccept.object } : {};
      const subject = { verb: 'watch', resource: r, key: o.namespace };
      const request: Call = { method: 'GET', path, signal, subject, ...accept };
      const response = await send(request, 'watches', o.inactivitySeconds);
      if (response.statusCode >= 300) await fail(request, response);
      const apiVersion = apiVersionOf(r);
      const feed = lineSplitter((line) => {
        const event = JSON.parse(line) as { type: WatchEvent<T>['type'] | 'ERROR'; object: T & { code?: number } };
        if (event.type === 'ERROR') throw errorOf(subject, event.object.code ?? 500, event.object);
        if (o.metadataOnly) event.object = { ...event.object, apiVersion, kind: r.kind };
        onEvent({ type: event.type, object: event.object });
      });
      try {
        for await (const chunk of response.body) feed(chunk as Buffer);
      } catch (error) {
        throw error instanceof ApiError ? error : unreachable(subject, error);
      } finally {
        response.body.destroy();
      }
    },

    async tokenReview(token, audiences) {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } };
      const path = pathOf(TokenReviews);
      const subject = { verb: 'create', resource: TokenReviews };
      const answer = (await call({ method: 'POST', path, body, contentType: 'application/json', subject })) as TokenReview;
      return answer.status ?? {};
    },

    async raw(path) {
      try {
        return await call({ method: 'GET', path, subject: { verb: `get ${path} of the` } });
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },

    async close() {
      await Promise.all([current?.calls.destroy(), current?.watches.destroy()]);
    },
  };
  return client;
}

function sameTls(a: Session, b: Session): boolean {
  const names = new Set([...Object.keys(a.tls), ...Object.keys(b.tls)]) as Set<keyof Session['tls']>;
  return [...names].every((name) => isDeepStrictEqual(a.tls[name], b.tls[name]));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
