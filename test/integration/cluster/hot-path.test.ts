// The most frequent change of all, the address of a Pod, costs the controller one endpoint resource: no route, listener or cluster is looked at.
import { beforeAll, expect, test } from 'vitest';
import type { CollectionStats } from '../../../src/krt/index.ts';
import { EndpointSlices, Namespaces, Pods } from '../../../src/kube/resources.ts';
import { eventually, installNamespace, portForward, quietCluster, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo } from './traffic.ts';

const cluster = useCluster();
const routes = Array.from({ length: 50 }, (_, i) => `r${i}`);
let address: string;

beforeAll(async () => {
  await quietCluster();
  await cluster.apply(echoServer('echo', { replicas: 2 }));
  await cluster.apply(gateway('web'));
  await Promise.all(routes.map((name) => cluster.apply(route(name, { gateway: 'web', host: `${name}.example.com`, to: 'echo' }))));
  await cluster.rolledOut('echo');
  address = await cluster.address('web');
  await eventually(() => echo({ address, host: 'r49.example.com' }));
}, 600_000);

/** Replaces one of the two Pods; resolves to the number of changes of the EndpointSlice, when the new Pod gets requests. */
async function replacePod(): Promise<number> {
  const labelSelector = 'kubernetes.io/service-name=echo';
  const { resourceVersion } = await cluster.client.list(EndpointSlices, { namespace: cluster.namespace, labelSelector });
  const selection = { namespace: cluster.namespace, labelSelector, resourceVersion };
  const abort = new AbortController();
  let changes = 0;
  const watching = cluster.client
    .watch(
      EndpointSlices,
      { ...selection, timeoutSeconds: 120, inactivitySeconds: 120 },
      ({ type }) => void (type === 'BOOKMARK' || changes++),
      abort.signal,
    )
    .catch((error: unknown) => {
      if (!abort.signal.aborted) throw error;
    });
  const pods = (await cluster.pods('app=echo')).map((p) => p.metadata.name);
  await cluster.remove(Pods, pods[0] ?? '');
  await eventually(async () => {
    const now = (await cluster.pods('app=echo')).map((p) => p.metadata.name);
    expect(now).toHaveLength(2);
    expect(now).not.toContain(pods[0]);
  });
  await cluster.rolledOut('echo');
  await eventually(async () => expect(pods).not.toContain((await echo({ address, host: 'r0.example.com' })).pod));
  abort.abort();
  await watching;
  return changes;
}

const ask = async (port: number, path: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${port}${path}`)).json();

test('its proxy gets one endpoint resource', async () => {
  await using forward = await portForward(installNamespace, 'deploy/kgateway', 9095);
  /** Versions of everything that the proxy has, by type and name. */
  const versions = async (): Promise<Readonly<Record<string, string>>> => {
    const proxies = (await ask(forward.port, `/debug/xds?gateway=${cluster.namespace}/web`)) as readonly {
      types: Readonly<Record<string, { acknowledged: Readonly<Record<string, string>> }>>;
    }[];
    const held = proxies.flatMap((p) => Object.entries(p.types));
    return Object.fromEntries(
      held.flatMap(([type, { acknowledged }]) => Object.entries(acknowledged).map(([name, v]) => [`${type.split('.').at(-1)} ${name}`, v])),
    );
  };
  const before = await versions();
  await replacePod();
  const after = await versions();
  expect(Object.keys(after).length).toBeGreaterThan(routes.length);
  expect(Object.keys(after).filter((name) => after[name] !== before[name])).toEqual([
    `ClusterLoadAssignment outbound|80||echo.${cluster.namespace}.svc.cluster.local`,
  ]);
});

// Others may work in the cluster at the same time: what they change is counted too.
test('the controller runs no transform of a route, listener or cluster', { retry: 5, timeout: 240_000 }, async () => {
  await using forward = await portForward(installNamespace, 'deploy/kgateway', 9095);
  /** Runs of the transform of each collection so far. */
  const transforms = async (): Promise<Readonly<Record<string, number>>> =>
    Object.fromEntries(((await ask(forward.port, '/debug/stats')) as readonly CollectionStats[]).map((s) => [s.name, s.transforms]));
  // What earlier tests leave behind goes first.
  await eventually(async () => {
    const { items } = await cluster.client.list(Namespaces);
    expect(items.filter((n) => n.metadata.deletionTimestamp !== undefined).map((n) => n.metadata.name)).toEqual([]);
  }, 60);

  const before = await transforms();
  const changes = await replacePod();
  const after = await transforms();
  const runs = Object.entries(after).map(([name, n]) => ({ name, n: n - (before[name] ?? 0) }));
  const others = runs.filter((r) => /Route|Cluster|Listener|Scope|Gateway|Secret|Polic|Status/.test(r.name));
  expect(others.length).toBeGreaterThan(20);
  expect(others.filter((r) => r.n > 0)).toEqual([]);
  const endpoints = runs.find((r) => r.name === 'ServiceEndpoints')?.n;
  expect(changes).toBeGreaterThan(1);
  expect(endpoints).toBeGreaterThan(0);
  expect(endpoints).toBeLessThanOrEqual(changes);
});
