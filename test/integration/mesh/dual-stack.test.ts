// A Service with an IPv4 and an IPv6 address behind waypoints of both classes: over IPv6 the whole way from the client to the loopback address on
// which Envoy listens. The Service is a ServiceEntry, as the lab gives Services no IPv6; Pods get it from the double of ztunnel.
import { beforeAll, describe, expect, test } from 'vitest';
import { Namespaces, ServiceEntries } from '../../../src/kube/resources.ts';
import { sixOf } from '../../mesh/dual-stack.ts';
import { eventually, kubectl, useCluster } from '../cluster/cluster.ts';
import { enableWaypoints } from './enable.ts';
import { ensureIstio } from './istio.ts';
import { echo, hboneListener, useZtunnel, waypoint } from './mesh.ts';

const cluster = useCluster();
const addresses = { IPv4: '240.0.0.9', IPv6: 'fd00:96::9' };
const urls = { IPv4: 'http://240.0.0.9', IPv6: 'http://[fd00:96::9]' };

beforeAll(async () => {
  await ensureIstio(cluster.client);
  await enableWaypoints();
  await cluster.patch(Namespaces, cluster.namespace, { metadata: { labels: { 'istio.io/dataplane-mode': 'ambient' } } });
  await cluster.apply(
    `${echo('one')}${echo('two')}${waypoint('sandwich', 'kgateway-waypoint')}---${waypoint('native', 'kgateway-waypoint-hbone', hboneListener)}`,
  );
  for (const name of ['one', 'two', 'sandwich', 'native']) await cluster.rolledOut(name);
  const [backend] = await cluster.pods('app=one');
  await cluster.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dual}
spec:
  hosts: [dual.example.com]
  addresses: [${addresses.IPv4}, '${addresses.IPv6}']
  ports: [{name: http, number: 80, targetPort: 8080, protocol: HTTP}, {name: tcp, number: 9090, protocol: TCP}]
  resolution: STATIC
  location: MESH_INTERNAL
  endpoints: [{address: ${backend?.status?.podIP}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec:
  targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: dual}]
  action: DENY
  rules:
    - from: [{source: {principals: ['cluster.local/ns/${cluster.namespace}/sa/two']}}]
      to: [{operation: {paths: [/private], ports: ['80']}}]
`);
  await useZtunnel();
}, 200_000);

/** What the echo client of Deployment `two` prints about a request. */
async function get(url: string): Promise<string> {
  return kubectl('-n', cluster.namespace, 'exec', 'deploy/two', '-c', 'echo', '--', 'client', url);
}

describe.each(['sandwich', 'native'])('the %s waypoint', (name) => {
  beforeAll(async () => {
    await cluster.patch(ServiceEntries, 'dual', { metadata: { labels: { 'istio.io/use-waypoint': name } } });
    await eventually(async () => expect(await get(`${urls.IPv4}/private`)).toContain('StatusCode=403'));
  });

  test.each(['IPv4', 'IPv6'] as const)('over %s: requests, the address and the identity of their client', async (family) => {
    const [client] = await cluster.pods('app=two');
    const address = client?.status?.podIP ?? '';
    await eventually(async () => expect(await get(urls[family])).toMatch(/Hostname=one-/));
    // A waypoint that ends HBONE itself is reached at the address that its Pod has: there is no ztunnel to give it another.
    const seen = family === 'IPv6' && name === 'sandwich' ? sixOf(address) : address;
    expect(await get(urls[family])).toContain(`RequestHeader=X-Forwarded-For:${seen}\n`);
    expect(await get(`${urls[family]}/private`)).toContain('StatusCode=403');
    expect(await get(`tcp://${new URL(urls[family]).hostname}:9090`)).toMatch(/Hostname=one-/);
  });
});
