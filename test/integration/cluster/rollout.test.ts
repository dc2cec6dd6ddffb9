// Nothing that users do to backends, proxies and routes costs a request, under closed-loop traffic.
import { beforeAll, expect, test } from 'vitest';
import { Deployments, HTTPRoutes, Pods } from '../../../src/kube/resources.ts';
import { eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo } from './traffic.ts';
import type { Target } from './traffic.ts';

const cluster = useCluster();
let target: Target;

const ofProxy = 'gateway.networking.k8s.io/gateway-name=web';
const parameters = `
apiVersion: gateway.kgateway.dev/v1alpha1
kind: GatewayParameters
metadata: {name: two}
spec: {kube: {deployment: {replicas: 2}}}
`;
const web = (listeners: readonly string[]): string =>
  gateway(
    'web',
    `  infrastructure: {parametersRef: {group: gateway.kgateway.dev, kind: GatewayParameters, name: two}}
  listeners: [${['{name: http, port: 80, protocol: HTTP}', ...listeners].join(', ')}]
`,
  );
const restart = { spec: { template: { metadata: { annotations: { 'example.com/restarted': 'yes' } } } } };
const names = async (selector: string): Promise<readonly string[]> =>
  (await cluster.pods(selector)).filter((p) => p.metadata.deletionTimestamp === undefined).map((p) => p.metadata.name);

/** Resolves when the Pods have ended. */
const gone = (selector: string, pods: readonly string[]): Promise<void> =>
  eventually(async () => {
    const left = (await cluster.pods(selector)).map((p) => p.metadata.name);
    expect(left.filter((name) => pods.includes(name))).toEqual([]);
  }, 90);

beforeAll(async () => {
  await cluster.apply(echoServer('blue', { replicas: 2 }) + '---' + echoServer('green'));
  await cluster.apply(parameters + '---' + web([]));
  await cluster.apply(route('web', { gateway: 'web', host: 'web.example.com', to: 'blue' }));
  await cluster.rolledOut('blue');
  await cluster.rolledOut('green');
  target = { address: await cluster.address('web'), host: 'web.example.com' };
  await eventually(() => echo(target));
});

test('Pods of a backend are replaced', async () => {
  const before = await names('app=blue');
  await using traffic = await cluster.traffic(target);
  await cluster.patch(Deployments, 'blue', restart);
  await gone('app=blue', before);
  await cluster.rolledOut('blue');
  expect(before).not.toContain((await echo(target)).pod);
  await traffic.more(200);
  expect(traffic.failures).toEqual([]);
});

test('a route is moved between two Services 200 times', async () => {
  const to = (name: string) => ({ spec: { rules: [{ backendRefs: [{ name, port: 80 }] }] } });
  await using traffic = await cluster.traffic(target);
  for (let i = 0; i < 200; i++) {
    await cluster.patch(HTTPRoutes, 'web', to(i % 2 === 0 ? 'green' : 'blue'));
    await traffic.more(2);
  }
  await cluster.patch(HTTPRoutes, 'web', to('green'));
  await eventually(async () => expect((await echo(target)).pod).toMatch(/^green-/));
  await traffic.more(200);
  expect(traffic.failures).toEqual([]);
});

test('other routes and listeners come and go, and no proxy is replaced', async () => {
  const before = await names(ofProxy);
  await using traffic = await cluster.traffic(target);
  const listener = '{name: other, port: 8080, protocol: HTTP}';
  // Who connects to a port that there is not waits for long in some networks.
  const elsewhere = { ...target, port: 8080, timeout: 500 };
  for (let i = 0; i < 5; i++) {
    const others = Array.from({ length: 10 }, (_, n) => `other-${i}-${n}`);
    await Promise.all(others.map((name) => cluster.apply(route(name, { gateway: 'web', host: `${name}.example.com`, to: 'blue' }))));
    await cluster.apply(web([listener]));
    await eventually(() => echo({ ...elsewhere, host: `${others.at(-1)}.example.com` }));
    await cluster.remove(HTTPRoutes, ...others);
    await cluster.apply(web([]));
    await eventually(() => expect(echo(elsewhere)).rejects.toThrow());
    await traffic.more(50);
  }
  expect(traffic.failures).toEqual([]);
  expect(await names(ofProxy)).toEqual(before);
});

test('a route under the same host comes and goes', async () => {
  await using traffic = await cluster.traffic(target);
  for (let i = 0; i < 10; i++) {
    await cluster.apply(
      route('part', { gateway: 'web', host: target.host, to: 'blue' }).replace(
        'rules: [{',
        'rules: [{matches: [{path: {type: PathPrefix, value: /part}}], ',
      ),
    );
    await eventually(async () => expect((await echo({ ...target, path: '/part' })).pod).toMatch(/^blue-/));
    await cluster.remove(HTTPRoutes, 'part');
    await eventually(async () => expect((await echo({ ...target, path: '/part' })).pod).toMatch(/^green-/));
  }
  expect(traffic.failures).toEqual([]);
});

test('the proxies are replaced', async () => {
  const before = await names(ofProxy);
  await using traffic = await cluster.traffic(target);
  await using connecting = await cluster.traffic({ ...target, newConnections: true });
  await cluster.patch(Deployments, 'web', restart);
  await gone(ofProxy, before);
  await traffic.more(200);
  expect([...traffic.failures, ...connecting.failures]).toEqual([]);
});

test('one of two proxies ends', async () => {
  const [first = ''] = await names(ofProxy);
  await using traffic = await cluster.traffic(target);
  await cluster.remove(Pods, first);
  await gone(ofProxy, [first]);
  await cluster.rolledOut('web');
  await traffic.more(200);
  expect(traffic.failures).toEqual([]);
});
