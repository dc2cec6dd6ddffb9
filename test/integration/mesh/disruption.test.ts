// Waypoints of both classes under traffic while what is around them goes and comes: no request is lost, and none gets past a policy.
import { beforeAll, expect, test } from 'vitest';
import { Deployments, Namespaces, Services } from '../../../src/kube/resources.ts';
import { installNamespace, eventually, kubectl, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { type ClosedLoop, closedLoop, echo, hboneListener, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();
/** Service and its waypoint, by class. */
const pairs = { sandwich: 'kgateway-waypoint', native: 'kgateway-waypoint-hbone' };

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels: { 'istio.io/dataplane-mode': 'ambient' } } });
  for (const [name, gatewayClass] of Object.entries(pairs)) {
    await cluster.apply(`${echo('client')}${echo(name)}${waypoint(`wp-${name}`, gatewayClass, hboneListener)}---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}}
spec:
  targetRefs: [{kind: Service, group: '', name: ${name}}]
  action: DENY
  rules:
    - from: [{source: {principals: ['cluster.local/ns/${cluster.namespace}/sa/client']}}]
      to: [{operation: {paths: [/private]}}]
`);
    await cluster.patch(Services, name, { metadata: { labels: { 'istio.io/use-waypoint': `wp-${name}` } } });
  }
  await useZtunnel();
  for (const name of ['client', ...Object.keys(pairs).flatMap((n) => [n, `wp-${n}`])]) await cluster.rolledOut(name);
  // Until all is as it is to stay.
  await eventually(async () => {
    await using loop = await traffic();
    expect(await loop.next(40)).toEqual([]);
  }, 60);
}, 240_000);

async function traffic(): Promise<ClosedLoop> {
  const [client] = await cluster.pods('app=client');
  const services = await Promise.all(Object.keys(pairs).map((name) => cluster.get(Services, name)));
  const urls = services.flatMap(({ spec }): (readonly [string, number])[] => [
    [`http://${spec.clusterIP}/`, 200],
    [`http://${spec.clusterIP}/private`, 403],
  ]);
  return closedLoop(client?.status?.podIP ?? '', urls);
}

test.each([
  ['the controller', installNamespace, 'kgateway'],
  ['istiod', 'istio-system', 'istiod'],
])(
  '%s is away and comes back',
  async (_who, namespace, name) => {
    const key = `${namespace}/${name}`;
    const wanted = (await cluster.get(Deployments, key)).spec.replicas ?? 1;
    await using loop = await traffic();
    await cluster.patch(Deployments, key, { spec: { replicas: 0 } });
    try {
      await eventually(async () => expect((await cluster.get(Deployments, key)).status?.replicas ?? 0).toBe(0), 60);
      expect(await loop.next(400)).toEqual([]);
    } finally {
      await cluster.patch(Deployments, key, { spec: { replicas: wanted } });
    }
    await cluster.rolledOut(name, namespace);
    expect(await loop.next(400)).toEqual([]);
  },
  150_000,
);

test.each(Object.keys(pairs))(
  'the Pods of the %s waypoint are replaced',
  async (name) => {
    await using loop = await traffic();
    const before = (await cluster.pods(`gateway.networking.k8s.io/gateway-name=wp-${name}`)).map((p) => p.metadata.name);
    await kubectl('-n', cluster.namespace, 'rollout', 'restart', `deployment/wp-${name}`);
    await cluster.rolledOut(`wp-${name}`);
    await eventually(async () => {
      const now = (await cluster.pods(`gateway.networking.k8s.io/gateway-name=wp-${name}`)).map((p) => p.metadata.name);
      expect(now.filter((n) => before.includes(n))).toEqual([]);
    }, 90);
    expect(await loop.next(200)).toEqual([]);
  },
  150_000,
);
