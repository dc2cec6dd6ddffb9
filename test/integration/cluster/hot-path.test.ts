// The most frequent change of all, the address of a Pod, costs the controller one endpoint resource: no route, listener or cluster is looked at.
import { beforeAll, expect, test } from 'vitest';
import type { CollectionStats } from '../../../src/krt/index.ts';
import { EndpointSlices, Pods } from '../../../src/kube/resources.ts';
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

/** Runs of the transform of each collection of the controller so far. */
async function transforms(port: number): Promise<Readonly<Record<string, number>>> {
  const response = await fetch(`http://127.0.0.1:${port}/debug/stats`);
  const stats = (await response.json()) as readonly CollectionStats[];
  return Object.fromEntries(stats.map((s) => [s.name, s.transforms]));
}

// Others may work in the cluster at the same time: what they change is counted too.
test('a Pod of a backend of 50 routes is replaced', { retry: 3, timeout: 120_000 }, async () => {
  await using forward = await portForward(installNamespace, 'deploy/kgateway', 9095);
  let before = await transforms(forward.port);
  let same = 0;
  await eventually(async () => {
    const now = await transforms(forward.port);
    same = JSON.stringify(now) === JSON.stringify(before) ? same + 1 : 0;
    before = now;
    expect(same, 'polls in a row without a change').toBeGreaterThan(20);
  }, 60);

  const labelSelector = 'kubernetes.io/service-name=echo';
  const { resourceVersion } = await cluster.client.list(EndpointSlices, { namespace: cluster.namespace, labelSelector });
  const abort = new AbortController();
  let changes = 0;
  const watching = cluster.client
    .watch(
      EndpointSlices,
      { namespace: cluster.namespace, labelSelector, resourceVersion, timeoutSeconds: 120, inactivitySeconds: 120 },
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
  // The new Pod gets requests: its address has gone all the way.
  await eventually(async () => expect(pods).not.toContain((await echo({ address, host: 'r0.example.com' })).pod));
  abort.abort();
  await watching;

  const after = await transforms(forward.port);
  const runs = Object.entries(after).map(([name, n]) => ({ name, n: n - (before[name] ?? 0) }));
  const others = runs.filter((r) => /Route|Cluster|Listener|Scope|Gateway|Secret|Polic|Status/.test(r.name));
  expect(others.length).toBeGreaterThan(20);
  expect(others.filter((r) => r.n > 0)).toEqual([]);
  const endpoints = runs.find((r) => r.name === 'ServiceEndpoints')?.n;
  expect(changes).toBeGreaterThan(1);
  expect(endpoints).toBeGreaterThan(0);
  expect(endpoints).toBeLessThanOrEqual(changes);
});
