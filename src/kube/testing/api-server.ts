// An API server in memory for unit tests: real HTTP, real list, watch, paging, bookmarks, 409, 410 and status subresources; no schemas, no RBAC.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeClient } from '../client.ts';
import { kubeClient } from '../client.ts';
import type { Resource } from '../resources.ts';
import { apiVersionOf, CustomResourceDefinitions, resourceName } from '../resources.ts';
import type { KubeObject } from '../types/meta.ts';

type Json = Record<string, unknown>;
interface Stored extends Json {
  apiVersion: string;
  kind: string;
  metadata: Json & { name: string; namespace?: string; uid: string; resourceVersion: string; generation: number };
}
interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: string;
  readonly object: Stored;
}
interface Watcher {
  readonly resource: string;
  readonly send: (type: string, object: unknown) => void;
  readonly matches: (o: Stored) => boolean;
  readonly response: ServerResponse;
}
interface Target {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

export interface TestApiServer extends AsyncDisposable {
  readonly url: string;
  /** Every request as `GET /path?query`, in order. */
  readonly requests: string[];
  readonly client: KubeClient;
  /** Serves a kind (and lists its CRD), or stops to. */
  install(r: Resource): void;
  uninstall(r: Resource): void;
  put<T extends KubeObject>(r: Resource<T>, object: T): T;
  remove(r: Resource, key: string): void;
  read<T extends KubeObject>(r: Resource<T>, key: string): T | undefined;
  /** Forgets history: watches from before end in 410. */
  compact(): void;
  /** Drops every watch connection without an end of stream. */
  dropWatches(): void;
  /** Ends every watch in order, as at its timeout. */
  endWatches(): void;
  bookmark(): void;
  /** Answers the next calls whose `METHOD /path` contains `match` with this status. */
  fail(match: string, status: number, times?: number): void;
  /** Whether lists may be streamed. */
  watchList: boolean;
  /** Stops listening and drops all connections, then listens on the same port again. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** Decides TokenReviews. */
  review: (token: string, audiences: readonly string[]) => unknown;
}

/** Starts it on a free port of 127.0.0.1, serving `kinds`. */
export async function testApiServer(kinds: readonly Resource[]): Promise<TestApiServer> {
  let version = 100;
  let compactedTo = 0;
  let uid = 0;
  let port = 0;
  const installed = new Map<string, Resource>();
  const objects = new Map<string, Map<string, Stored>>();
  const history: Change[] = [];
  const watchers = new Set<Watcher>();
  const failures: { match: string; status: number; times: number }[] = [];

  const kind = (r: string): Map<string, Stored> => {
    const found = objects.get(r) ?? new Map<string, Stored>();
    objects.set(r, found);
    return found;
  };
  const record = (type: Change['type'], resource: string, object: Stored): void => {
    history.push({ version, type, resource, object });
    for (const w of watchers) {
      if (w.resource !== resource) continue;
      // What a selection loses is deleted as far as its watch can see.
      if (w.matches(object)) w.send(type, object);
      else if (type === 'MODIFIED') w.send('DELETED', object);
    }
  };
  const nameOf = (o: KubeObject | Stored): string =>
    o.metadata.namespace ? `${o.metadata.namespace}/${o.metadata.name}` : o.metadata.name;

  const store = (r: Resource, input: Json, subresource?: string): Stored => {
    const resource = resourceName(r);
    const key = nameOf(input as unknown as KubeObject);
    const old = kind(resource).get(key);
    const metadata = { ...(input['metadata'] as Stored['metadata']) };
    const next: Stored =
      subresource === 'status' && old
        ? { ...old, status: input['status'], metadata: { ...old.metadata } }
        : { ...input, apiVersion: apiVersionOf(r), kind: r.kind, metadata };
    if (subresource === undefined && old && input['status'] === undefined && 'status' in old) next['status'] = old['status'];
    const changed = JSON.stringify([old?.['spec']]) !== JSON.stringify([next['spec']]);
    next.metadata.uid = old?.metadata.uid ?? `uid-${++uid}`;
    next.metadata.generation = (old?.metadata.generation ?? 0) + (changed || !old ? 1 : 0);
    next.metadata['creationTimestamp'] ??= old?.metadata['creationTimestamp'] ?? '2026-01-01T00:00:00Z';
    next.metadata['managedFields'] ??= [{ manager: 'test' }];
    next.metadata.resourceVersion = String(++version);
    kind(resource).set(key, next);
    record(old ? 'MODIFIED' : 'ADDED', resource, next);
    return next;
  };
  const erase = (r: Resource, key: string): Stored | undefined => {
    const old = kind(resourceName(r)).get(key);
    if (!old) return undefined;
    kind(resourceName(r)).delete(key);
    const last = { ...old, metadata: { ...old.metadata, resourceVersion: String(++version) } };
    record('DELETED', resourceName(r), last);
    return last;
  };

  const server: Server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => status(response, 500, 'InternalError', String(error)));
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    me.requests.push(`${request.method} ${request.url}`);
    const failure = failures.find((f) => `${request.method} ${request.url}`.includes(f.match) && f.times > 0);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? {} : (JSON.parse(text) as Json);
    if (failure) {
      failure.times--;
      status(response, failure.status, failure.status === 409 ? 'Conflict' : 'Test', `told to fail with ${failure.status}`);
      return;
    }
    if (url.pathname.endsWith('/tokenreviews')) {
      const spec = body['spec'] as { token: string; audiences: string[] };
      json(response, 201, { ...body, status: me.review(spec.token, spec.audiences) });
      return;
    }
    const target = parsePath(url.pathname, installed);
    if (!target) {
      status(response, 404, 'NotFound', 'the server could not find the requested resource');
      return;
    }
    const q = url.searchParams;
    const metadataOnly = (request.headers.accept ?? '').includes('PartialObjectMetadata');
    const view = (o: Stored): unknown =>
      metadataOnly ? { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadata', metadata: o.metadata } : o;
    if (request.method === 'GET' && target.name === undefined) {
      if (q.get('watch') === 'true') watch(target, q, response, view);
      else list(target, q, response, view);
      return;
    }
    const key = target.namespace ? `${target.namespace}/${target.name}` : (target.name ?? '');
    const old = kind(resourceName(target.resource)).get(key);
    switch (request.method) {
      case 'GET':
        if (old) json(response, 200, view(old));
        else status(response, 404, 'NotFound', `${target.resource.plural} "${key}" not found`);
        return;
      case 'POST': {
        const created = body as unknown as KubeObject;
        if (kind(resourceName(target.resource)).has(nameOf(created))) status(response, 409, 'AlreadyExists', 'exists');
        else json(response, 201, store(target.resource, body));
        return;
      }
      case 'DELETE': {
        const gone = erase(target.resource, key);
        if (gone) json(response, 200, gone);
        else status(response, 404, 'NotFound', `${key} not found`);
        return;
      }
      case 'PATCH':
      case 'PUT': {
        const apply = (request.headers['content-type'] ?? '').includes('apply-patch');
        if (!old && !apply) {
          status(response, 404, 'NotFound', `${key} not found`);
          return;
        }
        const wanted = (body['metadata'] as { resourceVersion?: string } | undefined)?.resourceVersion;
        if (wanted !== undefined && wanted !== old?.metadata.resourceVersion) {
          status(response, 409, 'Conflict', 'the object has been modified');
          return;
        }
        const next = request.method === 'PUT' ? body : (mergePatch(old ?? {}, body) as Json);
        json(response, 200, store(target.resource, next, target.subresource));
        return;
      }
      default:
        status(response, 405, 'MethodNotAllowed', request.method ?? '');
    }
  };

  const select = (target: Target, q: URLSearchParams): ((o: Stored) => boolean) => {
    const labels = (q.get('labelSelector') ?? '').split(',').flatMap((s) => (s === '' ? [] : [s.split('=') as [string, string]]));
    const inNamespace = (o: Stored): boolean => target.namespace === undefined || o.metadata.namespace === target.namespace;
    return (o) => inNamespace(o) && labels.every(([name, value]) => (o.metadata['labels'] as Json | undefined)?.[name] === value);
  };

  const list = (target: Target, q: URLSearchParams, response: ServerResponse, view: (o: Stored) => unknown): void => {
    const all = [...kind(resourceName(target.resource)).values()].filter(select(target, q));
    const [from, at] = (q.get('continue') ?? `0:${version}`).split(':').map(Number) as [number, number];
    if (at < compactedTo) {
      status(response, 410, 'Expired', 'The provided continue parameter is too old');
      return;
    }
    const limit = Number(q.get('limit') ?? all.length) || all.length;
    const next = from + limit < all.length ? `${from + limit}:${at}` : undefined;
    const items = all.slice(from, from + limit).map((o) => {
      const { apiVersion: _a, kind: _k, ...rest } = view(o) as Stored;
      return rest;
    });
    json(response, 200, { kind: 'List', metadata: { resourceVersion: String(at), continue: next }, items });
  };

  const watch = (target: Target, q: URLSearchParams, response: ServerResponse, view: (o: Stored) => unknown): void => {
    const initial = q.get('sendInitialEvents') === 'true';
    if (initial && !me.watchList) {
      status(
        response,
        422,
        'Invalid',
        'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
      );
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const raw = (type: string, object: unknown): void => {
      if (!response.writableEnded) response.write(`${JSON.stringify({ type, object })}\n`);
    };
    const bookmark = (annotations?: Json): unknown => ({ metadata: { resourceVersion: String(version), annotations } });
    const since = Number(q.get('resourceVersion') ?? 0);
    const matches = select(target, q);
    if (initial) {
      for (const o of kind(resourceName(target.resource)).values()) if (matches(o)) raw('ADDED', view(o));
      raw('BOOKMARK', bookmark({ 'k8s.io/initial-events-end': 'true' }));
    } else if (since < compactedTo) {
      raw('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: `too old resource version: ${since} (${compactedTo})` });
      response.end();
      return;
    } else {
      for (const c of history) {
        if (c.version > since && c.resource === resourceName(target.resource) && matches(c.object)) raw(c.type, view(c.object));
      }
    }
    const watcher: Watcher = {
      resource: resourceName(target.resource),
      matches,
      response,
      send: (type, object) => raw(type, type === 'BOOKMARK' ? bookmark() : view(object as Stored)),
    };
    watchers.add(watcher);
    response.on('close', () => watchers.delete(watcher));
  };

  const listen = (): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        port = (server.address() as AddressInfo).port;
        resolve();
      });
    });
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };

  await listen();
  const url = `http://127.0.0.1:${port}`;
  const me: TestApiServer = {
    url,
    requests: [],
    watchList: true,
    review: () => ({ authenticated: false }),
    client: await kubeClient({
      credentials: { server: url, namespace: 'default', session: () => Promise.resolve({ headers: {}, tls: {} }) },
    }),
    install(r) {
      installed.set(resourceName(r), r);
      if (r !== CustomResourceDefinitions) store(CustomResourceDefinitions, { metadata: { name: resourceName(r) } });
    },
    uninstall(r) {
      installed.delete(resourceName(r));
      for (const key of kind(resourceName(r)).keys()) erase(r, key);
      erase(CustomResourceDefinitions, resourceName(r));
      for (const w of watchers) if (w.resource === resourceName(r)) w.response.end();
    },
    put: (r, object) => store(r, object as unknown as Json) as unknown as typeof object,
    remove: (r, key) => void erase(r, key),
    read: <T extends KubeObject>(r: Resource<T>, key: string) => kind(resourceName(r)).get(key) as unknown as T | undefined,
    compact() {
      history.length = 0;
      compactedTo = ++version;
    },
    dropWatches: () => watchers.forEach((w) => w.response.destroy()),
    endWatches: () => watchers.forEach((w) => w.response.end()),
    bookmark: () => watchers.forEach((w) => w.send('BOOKMARK', undefined)),
    fail: (match, status, times = 1) => void failures.push({ match, status, times }),
    down: close,
    up: listen,
    async [Symbol.asyncDispose]() {
      await me.client.close();
      if (server.listening) await close();
    },
  };
  me.install(CustomResourceDefinitions);
  for (const r of kinds) me.install(r);
  return me;
}

function parsePath(path: string, installed: ReadonlyMap<string, Resource>): Target | undefined {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  const group = parts[0] === 'apis' ? (parts[1] ?? '') : '';
  const apiVersion = parts[0] === 'apis' ? `${parts[1]}/${parts[2]}` : (parts[1] ?? '');
  let rest = parts.slice(parts[0] === 'apis' ? 3 : 2);
  let namespace: string | undefined;
  if (rest[0] === 'namespaces' && rest.length > 2) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const resource = installed.get(group === '' ? (rest[0] ?? '') : `${rest[0]}.${group}`);
  if (!resource || apiVersionOf(resource) !== apiVersion) return undefined;
  return { resource, namespace, name: rest[1], subresource: rest[2] };
}

/** RFC 7386. */
function mergePatch(old: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof old === 'object' && old !== null && !Array.isArray(old) ? { ...(old as Json) } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete base[key];
    else base[key] = mergePatch(base[key], value);
  }
  return base;
}

function json(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function status(response: ServerResponse, code: number, reason: string, message: string): void {
  if (response.headersSent) response.end();
  else json(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message });
}
