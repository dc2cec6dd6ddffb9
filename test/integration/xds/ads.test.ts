import { afterEach, expect, test } from 'vitest';
import { freePort } from '../ports.ts';
import { Graph, source } from '../../../src/krt/index.ts';
import { rejectionKey, TypeUrl, xdsResourceKey } from '../../../src/xds/resource.ts';
import type { ConnectedProxy, Rejection, XdsResource } from '../../../src/xds/resource.ts';
import { startXdsServer } from '../../../src/xds/server.ts';
import type { XdsServer } from '../../../src/xds/server.ts';
import { createResourceStore } from '../../../src/xds/store.ts';
import { backend, cluster, endpoints, get, host, listener, listens, scope, startEnvoy, traffic, until } from './proxy.ts';

const used: AsyncDisposable[] = [];
afterEach(async () => {
  for (const resource of used.splice(0).reverse()) await resource[Symbol.asyncDispose]();
});
function use<T extends AsyncDisposable>(resource: T): T {
  used.push(resource);
  return resource;
}

/** A server, the resources that it serves, an Envoy and a backend. */
async function world(initial: (backendPort: number, listenerPort: number) => readonly XdsResource[]) {
  const graph = new Graph();
  const resources = source<XdsResource>(graph, { name: 'Resources', key: xdsResourceKey });
  const proxies = source<ConnectedProxy>(graph, { name: 'Proxies', key: (p) => p.id });
  const rejections = source<Rejection>(graph, { name: 'Rejections', key: rejectionKey });
  for (const s of [resources, proxies, rejections]) s.markSynced();
  const sent: string[] = [];
  const short = (type: string): string => type.slice(type.lastIndexOf('.') + 1);
  const start = (port: number): Promise<XdsServer> =>
    startXdsServer({
      address: `127.0.0.1:${port}`,
      store: createResourceStore(resources),
      ready: () => graph.whenSynced(),
      proxies,
      rejections,
      on: { sent: (p) => sent.push(`${short(p.type)} +${p.resources} -${p.removed}`) },
      log: { info: () => {}, warn: () => {}, error: () => {} },
    });
  let server = await start(0);
  const xdsPort = server.port;
  const { port: backendPort } = use(await backend());
  const listenerPort = await freePort();
  for (const r of initial(backendPort, listenerPort)) resources.set(r);
  used.push({ [Symbol.asyncDispose]: () => server.close() });
  const envoy = use(await startEnvoy(xdsPort));
  return {
    resources,
    proxies,
    rejections,
    sent,
    envoy,
    backendPort,
    listenerPort,
    debug: () => server.debug(),
    delete: (type: TypeUrl, name: string) => resources.delete(xdsResourceKey({ scope, type, name })),
    live: (name: string, version: string) =>
      until(`${name} serves ${version}`, async () => {
        const answer = await get(listenerPort, name).catch(() => undefined);
        return answer?.status === 200 && answer.version === version ? answer : undefined;
      }),
    stop: () => server.close(),
    async restart() {
      server = await start(xdsPort);
    },
  };
}

const basic = (backendPort: number, listenerPort: number): readonly XdsResource[] => [
  cluster('a'),
  endpoints('a', backendPort),
  listener('http', listenerPort),
  host('one.test', 'a', '1'),
];

test('Envoy gets listener, scoped routes, cluster and endpoints; traffic flows; a change is one small resource', async () => {
  const w = await world(basic);
  await w.live('one.test', '1');
  await until('the proxy serves', () => w.proxies.list().find((p) => p.serving));
  w.sent.length = 0;
  w.resources.set(host('one.test', 'a', '2'));
  await w.live('one.test', '2');
  expect(w.sent).toEqual(['ScopedRouteConfiguration +1 -0']);
  expect((await get(w.listenerPort, 'two.test')).status).toBe(404);
});

test('with nothing to serve Envoy comes up all the same', async () => {
  const w = await world(() => []);
  await until('Envoy is ready', async () => ((await w.envoy.admin('/ready')) === 'LIVE\n' ? true : undefined));
  await until('the proxy serves', () => w.proxies.list().find((p) => p.serving));
});

test('a listener without scopes comes up and answers 404', async () => {
  const w = await world((_, port) => [listener('http', port)]);
  await until('the listener', async () => ((await listens(w.listenerPort)) ? true : undefined));
  expect((await get(w.listenerPort, 'one.test')).status).toBe(404);
});

test('a bad resource is rejected alone, with Envoy`s message; the others of its response live', async () => {
  const w = await world(basic);
  await w.live('one.test', '1');
  for (const name of ['two', 'three', 'four', 'five']) w.resources.set(host(`${name}.test`, 'a', '1', { broken: name === 'three' }));
  for (const name of ['good', 'bad', 'fine']) {
    w.resources.set(cluster(name, { broken: name === 'bad' }));
    w.resources.set(endpoints(name, w.backendPort));
  }
  w.resources.set(host('six.test', 'fine', '1'));
  for (const name of ['two', 'four', 'five', 'six']) await w.live(`${name}.test`, '1');
  const names = await until('both rejections', () => {
    const all = w.rejections.list().map((r) => r.name);
    return all.length === 2 ? all.sort((x, y) => x.localeCompare(y)) : undefined;
  });
  expect(names).toEqual(['bad', 'three.test']);
  expect(w.rejections.list().find((r) => r.name === 'three.test')?.message).toContain('domain');
  expect(w.rejections.list().find((r) => r.name === 'bad')?.message).toContain('none.Such');
  w.resources.set(host('three.test', 'a', '2'));
  await w.live('three.test', '2');
  w.delete(TypeUrl.cluster, 'bad');
  await until('no rejection', () => (w.rejections.size === 0 ? true : undefined));
});

test('a route to a cluster that comes later is rejected at first, and lives when the cluster does', async () => {
  const w = await world(basic);
  await w.live('one.test', '1');
  w.resources.set(host('two.test', 'late', '1'));
  await until('the rejection', () => w.rejections.list().find((r) => r.message.includes('late')));
  w.resources.set(endpoints('late', w.backendPort));
  w.resources.set(cluster('late'));
  await w.live('two.test', '1');
  await until('no rejection', () => (w.rejections.size === 0 ? true : undefined));
});

test('the controller restarts under traffic: no request fails and only endpoints are sent again', async () => {
  const w = await world(basic);
  await w.live('one.test', '1');
  const running = traffic(w.listenerPort, 'one.test');
  for (const version of ['2', '3', '4']) {
    await w.stop();
    w.sent.length = 0;
    await w.restart();
    await until('Envoy is back', () => w.proxies.list().find((p) => p.serving));
    await until('endpoints are acknowledged', () => w.debug()[0]?.types[TypeUrl.endpoint]?.acknowledged['a']);
    expect(w.sent).toEqual(['ClusterLoadAssignment +1 -0']);
    w.resources.set(host('one.test', 'a', version));
    await w.live('one.test', version);
  }
  const { total, failures } = await running.stop();
  expect(failures).toEqual([]);
  expect(total).toBeGreaterThan(100);
});

test('what went while the stream was down is removed, routes first', async () => {
  const w = await world((backendPort, port) => [
    ...basic(backendPort, port),
    cluster('b'),
    endpoints('b', backendPort),
    host('two.test', 'b', '1'),
  ]);
  await w.live('two.test', '1');
  await w.stop();
  w.delete(TypeUrl.scopedRoute, 'two.test');
  w.delete(TypeUrl.endpoint, 'b');
  w.delete(TypeUrl.cluster, 'b');
  await w.restart();
  await until('the host is gone', async () => ((await get(w.listenerPort, 'two.test')).status === 404 ? true : undefined));
  await until('the cluster is gone', async () => ((await w.envoy.admin('/clusters')).includes('b::') ? undefined : true));
  expect((await get(w.listenerPort, 'one.test')).status).toBe(200);
});

test('a changed cluster does not stay warming', async () => {
  const w = await world(basic);
  await w.live('one.test', '1');
  const running = traffic(w.listenerPort, 'one.test');
  for (let connectTimeout = 6; connectTimeout < 12; connectTimeout++) {
    const wanted = cluster('a', { connectTimeout });
    w.resources.set(wanted);
    await until('the new cluster is active', async () => {
      const dump = await w.envoy.admin('/config_dump?resource=dynamic_active_clusters');
      return dump.includes(`"connect_timeout": "${connectTimeout}s"`) ? true : undefined;
    });
  }
  expect(await w.envoy.stat('cluster_manager.warming_clusters')).toBe(0);
  expect((await running.stop()).failures).toEqual([]);
});

test('a route moves to a new cluster and the old one goes, 200 times under traffic: never an error', async () => {
  const w = await world((backendPort, port) => [
    cluster('c-0'),
    endpoints('c-0', backendPort),
    listener('http', port),
    host('one.test', 'c-0', '0'),
  ]);
  await w.live('one.test', '0');
  const running = traffic(w.listenerPort, 'one.test');
  for (let i = 1; i <= 200; i++) {
    // One flush: the route, its new cluster, and the end of the old one.
    w.resources.set(host('one.test', `c-${i}`, String(i)));
    w.delete(TypeUrl.cluster, `c-${i - 1}`);
    w.delete(TypeUrl.endpoint, `c-${i - 1}`);
    w.resources.set(endpoints(`c-${i}`, w.backendPort));
    w.resources.set(cluster(`c-${i}`));
    await w.live('one.test', String(i));
  }
  const { total, failures } = await running.stop();
  expect(failures).toEqual([]);
  expect(total).toBeGreaterThan(1000);
  await until('old clusters are gone', async () => ((await w.envoy.stat('cluster_manager.active_clusters')) === 2 ? true : undefined));
  expect(await w.envoy.stat('cluster_manager.cds.update_rejected')).toBe(0);
}, 120_000);
