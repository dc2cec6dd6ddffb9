import { afterEach, expect, test } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import type { Source } from '../krt/index.ts';
import type { Reflector, ReflectorOptions } from './reflector.ts';
import { reflect, sameSpec, sameVersion } from './reflector.ts';
import type { Resource } from './resources.ts';
import { ConfigMaps, HTTPRoutes } from './resources.ts';
import type { TestApiServer } from './testing/api-server.ts';
import { testApiServer } from './testing/api-server.ts';
import { until } from './testing/until.ts';
import type { ConfigMap } from './types/core.ts';
import type { HTTPRoute } from './types/gateway-api.ts';
import type { KubeObject } from './types/meta.ts';
import { keyOf } from './types/meta.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

const configMap = (name: string, data: Record<string, string> = {}, namespace = 'default'): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace },
  data,
});

interface Rig<T extends KubeObject> {
  readonly server: TestApiServer;
  readonly graph: Graph;
  readonly cache: Source<T>;
  readonly reflector: Reflector;
  readonly errors: Error[];
  /** Every event as `add key`. */
  readonly seen: string[];
  names(): string[];
}

async function server(kinds: readonly Resource[] = [ConfigMaps]): Promise<TestApiServer> {
  const s = await testApiServer(kinds);
  cleanup.push(() => s[Symbol.asyncDispose]());
  return s;
}

function rig<T extends KubeObject>(s: TestApiServer, r: Resource<T>, o: ReflectorOptions<T> = {}): Rig<T> {
  const graph = new Graph({ assertions: true });
  const cache = source<T>(graph, { name: r.plural, key: keyOf, equals: sameSpec });
  const seen: string[] = [];
  cache.subscribe((events) => seen.push(...events.map((e) => `${e.type} ${e.key}`)));
  const errors: Error[] = [];
  const reflector = reflect(s.client, r, cache, { backoff: { first: 5, max: 50 }, onError: (e) => errors.push(e), ...o });
  cleanup.push(() => reflector.stop());
  return { server: s, graph, cache, reflector, errors, seen, names: () => cache.list().map(keyOf).sort() };
}

for (const watchList of [true, false]) {
  test(`follows creates, updates and deletes, ${watchList ? 'streamed' : 'paged'} list`, async () => {
    const s = await server();
    s.watchList = watchList;
    for (let i = 0; i < 7; i++) s.put(ConfigMaps, configMap(`c${i}`));
    const r = rig(s, ConfigMaps, { pageSize: 3 });
    await r.graph.whenSynced();
    expect(r.names()).toHaveLength(7);
    expect(r.cache.get('default/c1')?.kind).toBe('ConfigMap');
    expect(r.cache.get('default/c1')?.metadata).not.toHaveProperty('managedFields');
    s.put(ConfigMaps, configMap('new'));
    s.put(ConfigMaps, configMap('c0', { a: 'ä\n'.repeat(100_000) }));
    s.remove(ConfigMaps, 'default/c1');
    await until(() => r.reflector.events === 10, 'three more events');
    expect(r.names()).toContain('default/new');
    expect(r.names()).not.toContain('default/c1');
    expect(r.cache.get('default/c0')?.data?.['a']).toHaveLength(200_000);
    expect(r.reflector.relists).toBe(1);
    expect(r.errors).toEqual([]);
    expect(s.requests.filter((q) => q.includes('limit=3')).length).toBe(watchList ? 0 : 3);
  });
}

test('a dropped connection resumes from the last version without a list and without missing anything', async () => {
  const s = await server();
  s.put(ConfigMaps, configMap('a'));
  const r = rig(s, ConfigMaps);
  await r.graph.whenSynced();
  await s.down();
  s.put(ConfigMaps, configMap('b'));
  s.remove(ConfigMaps, 'default/a');
  await until(() => r.errors.length >= 2, 'it has failed twice');
  expect(r.names()).toEqual(['default/a']);
  await s.up();
  await until(() => r.names().join() === 'default/b', 'it has caught up');
  expect(r.reflector.relists).toBe(1);
  expect(r.errors[0]?.message).toMatch(/watch configmaps: .*check that the API server is up/);
});

test('history that is gone leads to a list, and what vanished meanwhile is deleted', async () => {
  const s = await server();
  s.put(ConfigMaps, configMap('a'));
  s.put(ConfigMaps, configMap('b'));
  const r = rig(s, ConfigMaps);
  await r.graph.whenSynced();
  await s.down();
  s.remove(ConfigMaps, 'default/a');
  s.put(ConfigMaps, configMap('c'));
  s.compact();
  await s.up();
  await until(() => r.names().join() === 'default/b,default/c', 'it has listed again');
  expect(r.reflector.relists).toBe(2);
  await until(() => r.seen.includes('delete default/a'), 'the graph hears of it');
  expect(r.seen.filter((e) => e.endsWith('/b'))).toEqual(['add default/b']);
});

test('a bookmark moves the version on, so that a quiet kind survives a compaction', async () => {
  const s = await server();
  const r = rig(s, ConfigMaps);
  await r.graph.whenSynced();
  const before = r.reflector.resourceVersion;
  s.compact();
  s.bookmark();
  await until(() => r.reflector.resourceVersion !== before, 'the bookmark arrived');
  s.endWatches();
  s.put(ConfigMaps, configMap('a'));
  await until(() => r.names().length === 1, 'the next watch brought it');
  expect(r.reflector.relists).toBe(1);
});

test('a kind that is not installed is empty and synced, and is picked up when its CRD appears', async () => {
  const s = await server([]);
  const r = rig(s, HTTPRoutes);
  await r.graph.whenSynced();
  expect(r.reflector.state).toBe('waiting for the CRD');
  await until(() => s.requests.some((q) => q.includes('customresourcedefinitions?watch')), 'CRDs are watched');
  s.install(HTTPRoutes);
  s.put(HTTPRoutes, route('a'));
  await until(() => r.names().length === 1, 'the route is seen');
  s.uninstall(HTTPRoutes);
  await until(() => r.names().length === 0 && r.reflector.state === 'waiting for the CRD', 'it is empty again');
  s.install(HTTPRoutes);
  s.put(HTTPRoutes, route('b'));
  await until(() => r.names().join() === 'default/b', 'it came back');
  expect(r.errors).toEqual([]);
});

test('refused lists are retried and reported with what to do', async () => {
  const s = await server();
  s.fail('/configmaps', 403, 2);
  s.put(ConfigMaps, configMap('a'));
  const r = rig(s, ConfigMaps);
  await r.graph.whenSynced();
  expect(r.errors.map((e) => e.message)).toHaveLength(2);
  expect(r.errors[0]?.message).toContain('grant the verb "watch" on configmaps');
  expect(r.reflector.state).toBe('watching');
});

test('a watch without a byte is renewed, and that is no error', async () => {
  const s = await server();
  s.watchList = false;
  const r = rig(s, ConfigMaps, { inactivitySeconds: 1 });
  await r.graph.whenSynced();
  const watches = (): number => s.requests.filter((q) => q.includes('watch=true&allow') && q.includes('resourceVersion=')).length;
  await until(() => watches() >= 3, 'it was opened again, more than once', 10_000);
  expect(r.errors).toEqual([]);
  expect(r.reflector.relists).toBe(1);
});

test('metadata only: the rest never crosses the wire; the kind is that of the resource', async () => {
  const s = await server();
  s.put(ConfigMaps, configMap('a', { secret: 'x' }));
  const r = rig(s, ConfigMaps, { metadataOnly: true });
  await r.graph.whenSynced();
  expect(r.cache.get('default/a')).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
  expect(r.cache.get('default/a')).not.toHaveProperty('data');
});

test('a status write is no event, but get returns the newest object', async () => {
  const s = await server([HTTPRoutes]);
  s.put(HTTPRoutes, route('a'));
  const r = rig(s, HTTPRoutes);
  await r.graph.whenSynced();
  await s.client.patch(HTTPRoutes, 'default/a', { status: { parents: [] } }, { subresource: 'status' });
  await until(() => r.cache.get('default/a')?.status !== undefined, 'the status arrived');
  r.graph.flush();
  expect(r.seen).toEqual(['add default/a']);
});

const route = (name: string): HTTPRoute => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name, namespace: 'default' },
  spec: { hostnames: ['a.example.com'] },
});

test('equality', () => {
  const meta = { name: 'a', uid: '1', resourceVersion: '1', generation: 1, labels: { a: 'b' } };
  const o = (m: Partial<KubeObject['metadata']> = {}): KubeObject => ({ apiVersion: 'v1', kind: 'X', metadata: { ...meta, ...m } });
  expect(sameSpec(o(), o({ resourceVersion: '2' }))).toBe(true);
  expect(sameSpec(o(), o({ generation: 2 }))).toBe(false);
  expect(sameSpec(o(), o({ uid: '2' }))).toBe(false);
  expect(sameSpec(o(), o({ labels: { a: 'c' } }))).toBe(false);
  expect(sameSpec(o(), o({ annotations: { a: 'c' } }))).toBe(false);
  expect(sameSpec(o(), o({ deletionTimestamp: 'now' }))).toBe(false);
  const { generation: _, ...noGeneration } = meta;
  const service = (resourceVersion: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...noGeneration, resourceVersion },
  });
  expect(sameSpec(service('1'), service('2'))).toBe(false);
  expect(sameSpec(service('1'), service('1'))).toBe(true);
  expect(sameVersion(o(), o())).toBe(true);
  expect(sameVersion(o(), o({ resourceVersion: '2' }))).toBe(false);
});
