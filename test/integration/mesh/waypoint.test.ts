// A waypoint as it is deployed: what istiod and ztunnel need to find on it, when it is announced, and what is refused.
import { beforeAll, expect, test } from 'vitest';
import {
  Deployments,
  EndpointSlices,
  GatewayClasses,
  Gateways,
  PodDisruptionBudgets,
  ServiceEntries,
  Services,
  WorkloadEntries,
} from '../../../src/kube/resources.ts';
import type { Condition } from '../../../src/kube/types/meta.ts';
import { eventually, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { waypoint } from './mesh.ts';

const cluster = useCluster();

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
}, 200_000);

test('the class tells istiod how connections reach its Pods', async () => {
  const gatewayClass = await eventually(() => cluster.get(GatewayClasses, 'kgateway-waypoint'));
  expect(gatewayClass.metadata.annotations).toMatchObject({ 'ambient.istio.io/waypoint-inbound-binding': 'PROXY/15088' });
});

test('a waypoint runs twice, is announced by its host name, and istiod binds services to it', async () => {
  await cluster.apply(waypoint('wp'));
  await cluster.apply(`
apiVersion: v1
kind: Service
metadata: {name: echo, labels: {istio.io/use-waypoint: wp}}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, labels: {istio.io/use-waypoint: wp}}
spec: {hosts: [outside.example.com], resolution: STATIC, location: MESH_EXTERNAL, ports: [{name: http, number: 80, protocol: HTTP}], endpoints: [{address: 192.0.2.1}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm}
spec: {address: 192.0.2.2}
`);
  expect(await cluster.address('wp')).toBe(`wp.${cluster.namespace}.svc.cluster.local`);
  const { status } = await cluster.get(Gateways, 'wp');
  expect(status?.addresses?.map((a) => a.type)).toEqual(['Hostname', 'IPAddress']);

  const service = await cluster.get(Services, 'wp');
  expect(service.spec).toMatchObject({ type: 'ClusterIP', ports: [{ port: 15_008 }] });
  expect(service.metadata.labels).toMatchObject({ 'istio.io/use-waypoint': 'none' });
  const { spec } = await cluster.get(Deployments, 'wp');
  expect(spec.replicas).toBe(2);
  expect(spec.template.metadata).toMatchObject({
    labels: { 'istio.io/dataplane-mode': 'ambient', 'gateway.networking.k8s.io/gateway-name': 'wp' },
    annotations: { 'ambient.istio.io/dns-capture': 'false' },
  });
  expect((await cluster.get(PodDisruptionBudgets, 'wp')).spec.maxUnavailable).toBe(1);

  await eventually(async () => {
    const objects: readonly { readonly status?: { readonly conditions?: readonly Partial<Condition>[] } }[] = [
      await cluster.get(Services, 'echo'),
      await cluster.get(ServiceEntries, 'outside'),
    ];
    for (const object of objects) {
      const bound = object.status?.conditions?.find((c) => c.type === 'istio.io/WaypointBound');
      expect(bound).toMatchObject({ status: 'True', message: `Successfully attached to waypoint ${cluster.namespace}/wp` });
    }
  });
  expect(await cluster.get(WorkloadEntries, 'vm')).toBeDefined();
});

test('a waypoint without ready Pods keeps its address', async () => {
  await cluster.patch(Deployments, 'wp', { spec: { replicas: 0 } });
  await eventually(async () => {
    const { items } = await cluster.client.list(EndpointSlices, {
      namespace: cluster.namespace,
      labelSelector: 'kubernetes.io/service-name=wp',
    });
    expect(items.flatMap((s) => s.endpoints ?? []).filter((e) => e.conditions?.ready !== false)).toEqual([]);
  }, 90);
  // A new generation of the status shows that it was written again.
  const wanted = {
    listeners: [{ name: 'proxy', port: 15_088, protocol: 'istio.io/PROXY', allowedRoutes: { namespaces: { from: 'All' } } }],
  };
  await cluster.patch(Gateways, 'wp', { spec: wanted });
  await eventually(async () => {
    const { metadata, status } = await cluster.get(Gateways, 'wp');
    expect(status?.conditions?.[0]?.observedGeneration).toBe(metadata.generation);
    expect(status?.addresses).toHaveLength(2);
  });
});

test('a name that is no label, and a listener of another protocol, are refused with what to do', async () => {
  const long = `wp-${'x'.repeat(70)}`;
  await cluster.apply(waypoint(long) + '---' + waypoint('http', 'kgateway-waypoint', 'name: http, port: 80, protocol: HTTP'));
  await eventually(async () => {
    const accepted = (await cluster.get(Gateways, long)).status?.conditions?.find((c) => c.type === 'Accepted');
    expect(accepted).toMatchObject({ status: 'False', reason: 'Invalid', message: expect.stringContaining('at most 63') as string });
    expect(await cluster.gatewayConditions('http')).toContain('Accepted=False ListenersNotValid');
    expect(await cluster.gatewayConditions('http', 'http')).toContain('Accepted=False UnsupportedProtocol');
  });
  expect(await cluster.client.get(Deployments, `${cluster.namespace}/http`)).toBeUndefined();
});
