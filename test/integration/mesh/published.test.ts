// What istiod publishes to ztunnels about waypoints of both classes: a real ztunnel goes by nothing else.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Namespaces, Services } from '../../../src/kube/resources.ts';
import { identityOf } from '../../mesh/identities.ts';
import { findIstiod } from '../../mesh/istiod.ts';
import { type MeshService, type MeshWorkload, type WorkloadDiscovery, discoverWorkloads } from '../../mesh/workload-discovery.ts';
import { eventually, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { echo, hboneListener, waypoint } from './mesh.ts';

const cluster = useCluster();
const host = (service: string): string => `${service}.${cluster.namespace}.svc.cluster.local`;
let published: WorkloadDiscovery | undefined;

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels: { 'istio.io/use-waypoint': 'sandwich' } } });
  await cluster.apply(`${echo('one')}${waypoint('sandwich', 'kgateway-waypoint')}---${waypoint('native', 'kgateway-waypoint-hbone', hboneListener)}---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [outside.example.com]
  addresses: [240.0.0.9, 'fd00:96::9']
  ports: [{name: http, number: 80, protocol: HTTP}]
  resolution: STATIC
  location: MESH_EXTERNAL
  endpoints: [{address: 192.0.2.1}]
`);
  for (const name of ['one', 'sandwich', 'native']) await cluster.rolledOut(name);
  const istiod = await findIstiod(cluster.client);
  if (!istiod) throw new Error('istiod is not ready');
  published = await discoverWorkloads(istiod);
}, 200_000);

afterAll(() => published?.stop());

function service(name: string): MeshService {
  const found = published?.services().find((s) => s.key === `${cluster.namespace}/${name}`);
  if (!found) throw new Error(`istiod publishes no Service ${name}`);
  return found;
}

/** The Pods to which ztunnels bring connections for a waypoint. */
function membersOf(waypointService: string): readonly MeshWorkload[] {
  return (published?.workloads() ?? []).filter((w) => w.services.includes(`${cluster.namespace}/${host(waypointService)}`) && w.healthy);
}

const by = (name: string, weight = 100) => ({ service: `${cluster.namespace}/${host(name)}`, port: 15_008, weight });

test('Services of the namespace have its waypoint, a ServiceEntry by both of its addresses', async () => {
  await eventually(() => expect(service(host('one')).waypoints).toEqual([by('sandwich')]));
  expect(service(host('one'))).toMatchObject({
    addresses: [(await cluster.get(Services, 'one')).spec.clusterIP],
    ports: [80, 9090, 7070],
  });
  expect(service('outside.example.com')).toMatchObject({
    addresses: ['240.0.0.9', 'fd00:96::9'],
    ports: [80],
    waypoints: [by('sandwich')],
  });
});

test('Services of waypoints themselves have none', () => {
  for (const name of ['sandwich', 'native']) expect(service(host(name)).waypoints).toEqual([]);
});

test('a waypoint behind a ztunnel: its Pods, certified as its ServiceAccount, take connections with a PROXY header on port 15088', async () => {
  const pods = await cluster.pods('gateway.networking.k8s.io/gateway-name=sandwich');
  await eventually(() => expect(membersOf('sandwich')).toHaveLength(2));
  const members = membersOf('sandwich');
  expect(new Set(members.flatMap((m) => m.addresses))).toEqual(new Set(pods.map((p) => p.status?.podIP)));
  for (const member of members) {
    expect(member).toMatchObject({
      identity: identityOf(cluster.namespace, 'sandwich'),
      applicationTunnel: { protocol: 'proxy', port: 15_088 },
      nativeTunnel: false,
    });
    expect(member.waypoint).toBeUndefined();
  }
});

test('a waypoint that ends HBONE itself: its Pods take tunnels, and no PROXY header', async () => {
  await eventually(() => expect(membersOf('native')).toHaveLength(2));
  for (const member of membersOf('native')) {
    expect(member).toMatchObject({ identity: identityOf(cluster.namespace, 'native'), tunnel: 'hbone', nativeTunnel: true });
    expect([member.applicationTunnel, member.waypoint]).toEqual([undefined, undefined]);
  }
});

test('labels of a Service choose another waypoint, both by weight, or none', async () => {
  const label = (labels: object, annotations: object = {}): Promise<void> =>
    cluster.patch(Services, 'one', { metadata: { labels, annotations } });
  await label({ 'istio.io/use-waypoint': 'native' });
  await eventually(() => expect(service(host('one')).waypoints).toEqual([by('native')]));
  await label({ 'istio.io/use-waypoint-canary': 'sandwich' }, { 'istio.io/use-waypoint-canary-weight': '25' });
  await eventually(() => expect(service(host('one')).waypoints).toEqual([by('native', 75), by('sandwich', 25)]));
  await label({ 'istio.io/use-waypoint': 'none', 'istio.io/use-waypoint-canary': null });
  await eventually(() => expect(service(host('one')).waypoints).toEqual([]));
});
