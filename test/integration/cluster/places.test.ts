// Where a proxy runs: its Node by its token, the zone by the label of the Node. Of Services with trafficDistribution it uses what is close.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Nodes } from '../../../src/kube/resources.ts';
import { eventually, useCluster } from './cluster.ts';
import { echoServer, gateway, route } from './objects.ts';
import { echo } from './traffic.ts';

const cluster = useCluster();
const zoneLabel = 'topology.kubernetes.io/zone';
let address: string;
let labelled: readonly string[] = [];

/** A Service of hand-made slices: the echo server here, and an address where nobody is, elsewhere. */
function service(name: string, trafficDistribution: string, ip: string, here: string, elsewhere: string): string {
  const slice = (suffix: string, at: string, place: string): string => `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-${suffix}, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{name: http, port: 3000}]
endpoints: [{addresses: ["${at}"], ${place}}]
`;
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {trafficDistribution: ${trafficDistribution}, ports: [{name: http, port: 80}]}
${slice('here', ip, here)}${slice('elsewhere', '192.0.2.1', elsewhere)}`;
}

beforeAll(async () => {
  const { items } = await cluster.client.list(Nodes);
  const bare = items.filter((n) => n.metadata.labels?.[zoneLabel] === undefined).map((n) => n.metadata.name);
  for (const name of bare) await cluster.patch(Nodes, name, { metadata: { labels: { [zoneLabel]: 'test-zone' } } });
  labelled = bare;
  await cluster.apply(echoServer('echo') + '---' + gateway('web'));
  address = await cluster.address('web');
  await cluster.rolledOut('echo');
});

afterAll(async () => {
  for (const name of labelled) await cluster.patch(Nodes, name, { metadata: { labels: { [zoneLabel]: null } } });
});

test('endpoints on the node and in the zone of the proxy are used, others are not', async () => {
  const [proxy] = await cluster.pods('gateway.networking.k8s.io/gateway-name=web');
  const [pod] = await cluster.pods('app=echo');
  const node = proxy?.spec.nodeName ?? '';
  const zone = (await cluster.get(Nodes, node)).metadata.labels?.[zoneLabel] ?? '';
  const ip = pod?.status?.podIP ?? '';
  await cluster.apply(
    [
      service('by-node', 'PreferSameNode', ip, `nodeName: ${node}, zone: ${zone}`, `nodeName: other, zone: ${zone}`),
      service('by-zone', 'PreferClose', ip, `zone: ${zone}`, 'zone: other'),
      route('by-node', { gateway: 'web', host: 'node.example.com', to: 'by-node' }),
      route('by-zone', { gateway: 'web', host: 'zone.example.com', to: 'by-zone' }),
    ].join('---'),
  );
  for (const host of ['node.example.com', 'zone.example.com']) {
    await eventually(async () => expect((await echo({ address, host })).pod).toBe(pod?.metadata.name));
    for (let i = 0; i < 20; i++) expect((await echo({ address, host })).pod).toBe(pod?.metadata.name);
  }
});
