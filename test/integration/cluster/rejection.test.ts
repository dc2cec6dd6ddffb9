// A resource that passes every check of ours and that Envoy refuses all the same: it is said where it belongs, and hurts nobody else.
import { beforeAll, describe, expect, test } from 'vitest';
import { Pods, TrafficPolicies } from '../../../src/kube/resources.ts';
import { described, eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { send } from './traffic.ts';

const cluster = useCluster();
let address: string;
const bad = 'bad.example.com';
const good = 'good.example.com';

/** Response headers for a route. A line break in a time is well formed: only Envoy looks for it. */
const policy = (target: string, headers: Readonly<Record<string, string>>): string => `
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: ${target}}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ${target}}]
  headerModifiers: {response: {set: ${JSON.stringify(Object.entries(headers).map(([name, value]) => ({ name, value })))}}}
`;
const header = async (host: string, name: string): Promise<unknown> => {
  const { status, headers } = await send({ address, host });
  return [status, headers[name]];
};

beforeAll(async () => {
  await cluster.apply(echoServer('echo'));
  await cluster.apply(gateway('web'));
  for (const [name, host] of Object.entries({ bad, good })) {
    await cluster.apply(route(name, { gateway: 'web', host, to: 'echo' }) + '---' + policy(name, { 'x-version': 'one' }));
  }
  address = await cluster.address('web');
  for (const host of [bad, good]) await eventually(async () => expect(await header(host, 'x-version')).toEqual([200, 'one']));
});

describe('a route that Envoy refuses', () => {
  test('says so with Envoy’s words, and its last version serves on', async () => {
    await using traffic = await cluster.traffic({ address, host: bad });
    await using others = await cluster.traffic({ address, host: good });
    await cluster.apply(policy('bad', { 'x-version': 'two', 'x-bad': '%START_TIME(%n)%' }));
    await eventually(async () => {
      const conditions = await cluster.routeConditions('bad');
      expect(described(conditions)).toContain('kgateway.dev/Programmed=False Rejected');
      expect(conditions.find((c) => c.reason === 'Rejected')?.message).toContain('newline');
    });
    expect(described(await cluster.routeConditions('good'))).toContain('kgateway.dev/Programmed=True Programmed');
    await traffic.more(50);
    expect(await header(bad, 'x-version')).toEqual([200, 'one']);
    expect([...traffic.failures, ...others.failures]).toEqual([]);
  });

  test('keeps no other route from changing or coming', async () => {
    await cluster.apply(policy('good', { 'x-version': 'two' }));
    await eventually(async () => expect(await header(good, 'x-version')).toEqual([200, 'two']));
    await cluster.apply(route('new', { gateway: 'web', host: 'new.example.com', to: 'echo' }));
    await eventually(async () => expect(await header('new.example.com', 'x-version')).toEqual([200, undefined]));
    expect(described(await cluster.routeConditions('bad'))).toContain('kgateway.dev/Programmed=False Rejected');
  });

  test('keeps no new proxy from serving the others', async () => {
    const selector = 'gateway.networking.k8s.io/gateway-name=web';
    const [pod] = await cluster.pods(selector);
    await cluster.remove(Pods, pod?.metadata.name ?? '');
    await eventually(async () => {
      const pods = await cluster.pods(selector);
      expect(pods.map((p) => p.metadata.name)).not.toContain(pod?.metadata.name);
    }, 60);
    await cluster.rolledOut('web');
    await eventually(async () => expect(await header(good, 'x-version')).toEqual([200, 'two']));
    // This proxy has no earlier version to go back to.
    expect((await send({ address, host: bad })).status).toBeGreaterThanOrEqual(404);
    expect(described(await cluster.routeConditions('bad'))).toContain('kgateway.dev/Programmed=False Rejected');
  });

  test('is served and said to be once it is repaired', async () => {
    await cluster.apply(policy('bad', { 'x-version': 'three' }));
    await eventually(async () => expect(await header(bad, 'x-version')).toEqual([200, 'three']));
    await eventually(async () =>
      expect(described(await cluster.routeConditions('bad'))).toContain('kgateway.dev/Programmed=True Programmed'),
    );
    await cluster.remove(TrafficPolicies, 'bad');
    await eventually(async () => expect(await header(bad, 'x-version')).toEqual([200, undefined]));
  });
});
