import { afterEach, expect, test } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import { reflect, sameSpec } from './reflector.ts';
import { HTTPRoutes } from './resources.ts';
import { statusWriter } from './status-writer.ts';
import type { StatusWriterOptions } from './status-writer.ts';
import type { ConditionIntent, DesiredStatus } from './status.ts';
import { statusKey } from './status.ts';
import { testApiServer } from './testing/api-server.ts';
import { until } from './testing/until.ts';
import type { HTTPRoute, RouteParentStatus } from './types/gateway-api.ts';
import { keyOf } from './types/meta.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

const route = (name: string, parents: RouteParentStatus[] = []): HTTPRoute => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name, namespace: 'a' },
  spec: { hostnames: ['x'] },
  status: { parents },
});
const accepted = (status: 'True' | 'False' = 'True', message = ''): ConditionIntent => ({ type: 'Accepted', status, reason: 'R', message });
const want = (name: string, c: ConditionIntent = accepted(), generation = 1): DesiredStatus => ({
  key: statusKey(HTTPRoutes, `a/${name}`),
  resource: HTTPRoutes,
  object: `a/${name}`,
  generation,
  status: { kind: 'parents', controllerName: 'us', entries: [{ parentRef: { name: 'gw' }, conditions: [c] }] },
});

async function rig(o: Partial<StatusWriterOptions> = {}) {
  const server = await testApiServer([HTTPRoutes]);
  cleanup.push(() => server[Symbol.asyncDispose]());
  const graph = new Graph({ assertions: true });
  const routes = source<HTTPRoute>(graph, { name: 'routes', key: keyOf, equals: sameSpec });
  const desired = source<DesiredStatus>(graph, { name: 'desired', key: (d) => d.key });
  desired.markSynced();
  const reflector = reflect(server.client, HTTPRoutes, routes);
  cleanup.push(() => reflector.stop());
  const errors: unknown[] = [];
  const writer = statusWriter(server.client, desired, {
    current: (_, key) => routes.get(key),
    fieldManager: 'us',
    backoff: { first: 5, max: 10 },
    onError: (_, e) => errors.push(e),
    ...o,
  });
  cleanup.push(() => writer.stop());
  await graph.whenSynced();
  const stored = (name: string) => server.read(HTTPRoutes, `a/${name}`)?.status?.parents;
  const patches = () => server.requests.filter((r) => r.startsWith('PATCH')).length;
  return { server, graph, routes, desired, writer, errors, stored, patches };
}

test('writes what differs, keeps the entries of others, and writes nothing twice', async () => {
  const { server, graph, routes, desired, writer, stored, patches } = await rig();
  const other: RouteParentStatus = { parentRef: { name: 'x' }, controllerName: 'them', conditions: [] };
  server.put(HTTPRoutes, route('r', [other]));
  await until(() => routes.size === 1, 'the cache has it');
  desired.set(want('r'));
  graph.flush();
  writer.start();
  await until(() => stored('r')?.length === 2, 'it is written');
  expect(stored('r')?.[0]).toEqual(other);
  await until(() => routes.get('a/r')?.status?.parents.length === 2, 'the cache has the status');
  desired.set({ ...want('r'), generation: 1 });
  graph.flush();
  await writer.idle();
  await writer.stop();
  writer.start();
  await writer.idle();
  expect(patches()).toBe(1);
  expect(writer.stats).toMatchObject({ writes: 1, errors: 0, pending: 0 });
});

test('only while leading', async () => {
  const { server, graph, routes, desired, writer, stored, patches } = await rig();
  server.put(HTTPRoutes, route('r'));
  await until(() => routes.size === 1, 'the cache has it');
  desired.set(want('r'));
  graph.flush();
  await writer.idle();
  expect(patches()).toBe(0);
  writer.start();
  await until(() => stored('r')?.length === 1, 'it is written');
  await writer.stop();
  desired.set(want('r', accepted('False')));
  graph.flush();
  expect(patches()).toBe(1);
});

test('changes while a write runs are written once, with the last value, from the answer and not the stale cache', async () => {
  const { server, graph, routes, desired, writer, stored } = await rig();
  server.put(HTTPRoutes, route('r'));
  await until(() => routes.size === 1, 'the cache has it');
  server.dropWatches();
  writer.start();
  for (let i = 0; i < 20; i++) {
    desired.set(want('r', accepted('True', `${i}`)));
    graph.flush();
  }
  await until(() => stored('r')?.[0]?.conditions[0]?.message === '19', 'the last value');
  await writer.idle();
  expect(writer.stats).toMatchObject({ writes: 2, conflicts: 0 });
});

test('a conflict is resolved with the newest object', async () => {
  const { server, graph, routes, desired, writer, stored } = await rig();
  server.put(HTTPRoutes, route('r'));
  await until(() => routes.size === 1, 'the cache has it');
  const other: RouteParentStatus = { parentRef: { name: 'x' }, controllerName: 'them', conditions: [] };
  server.put(HTTPRoutes, route('r', [other]));
  desired.set(want('r'));
  graph.flush();
  server.fail('PATCH', 409);
  writer.start();
  await until(() => stored('r')?.length === 2, 'both entries are there');
  expect(writer.stats.conflicts).toBeGreaterThan(0);
  expect(writer.stats.errors).toBe(0);
});

test('failures are retried, deleted objects dropped, outdated statuses not written', async () => {
  const { server, graph, routes, desired, writer, errors, stored, patches } = await rig();
  for (const name of ['r', 'gone', 'newer']) server.put(HTTPRoutes, route(name));
  await until(() => routes.size === 3, 'the cache has them');
  server.fail('PATCH /apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/r/', 500, 2);
  server.fail('PATCH /apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/gone/', 404);
  desired.set(want('r'));
  desired.set(want('gone'));
  desired.set(want('newer', accepted(), 0));
  graph.flush();
  writer.start();
  await until(() => stored('r')?.length === 1, 'it is written in the end');
  await writer.idle();
  expect(errors).toHaveLength(2);
  expect(patches()).toBe(4);
  expect(stored('newer')).toEqual([]);
});

test('an object that is no longer ours loses our entries', async () => {
  const { server, graph, routes, desired, writer, stored } = await rig();
  server.put(HTTPRoutes, route('r'));
  await until(() => routes.size === 1, 'the cache has it');
  desired.set(want('r'));
  graph.flush();
  writer.start();
  await until(() => stored('r')?.length === 1, 'it is written');
  desired.delete(want('r').key);
  graph.flush();
  await until(() => stored('r')?.length === 0, 'it is cleared');
});

test('the rate holds over all objects; what is right already costs nothing of it', async () => {
  const { server, graph, routes, desired, writer, patches } = await rig({ rate: 100, burst: 5 });
  for (let i = 0; i < 200; i++) server.put(HTTPRoutes, route(`r${i}`));
  await until(() => routes.size === 200, 'the cache has them');
  for (let i = 0; i < 200; i++) {
    const d = want(`r${i}`);
    desired.set(i < 10 ? d : { ...d, status: { kind: 'parents', controllerName: 'us', entries: [] } });
  }
  graph.flush();
  const started = performance.now();
  writer.start();
  await writer.idle();
  expect(patches()).toBe(10);
  expect(performance.now() - started).toBeGreaterThan(40);
  expect(performance.now() - started).toBeLessThan(1500);
});
