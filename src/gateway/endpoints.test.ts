import { expect, test } from 'vitest';
import type { Cluster, Endpoints } from '../ir/backend.ts';
import type { SharedCluster } from '../ir/tcp.ts';
import { Graph, map, source } from '../krt/index.ts';
import type { EndpointSlice, Service } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';
import { endpointsOf, sharedEndpointsOf, slicesOf } from './endpoints.ts';
import { serviceViews } from './views.ts';

type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

const podOf = (name: string): Pick<SliceEndpoint, 'targetRef'> => ({ targetRef: { kind: 'Pod', namespace: 'default', name } });

const slice = (
  name: string,
  addressType: EndpointSlice['addressType'],
  endpoints: readonly SliceEndpoint[],
  port = 8080,
): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': 'a' } },
  addressType,
  endpoints,
  ports: [{ name: 'http', port }],
});

const origin = { group: '', kind: 'Service', namespace: 'default', name: 'a' };
/** Of port `http` of the Service `a`, alone and as the only share. */
const cluster: Cluster = { name: 'c', statName: 'c', protocol: 'http1', service: 'default/a', portName: 'http', origin };
const shared: SharedCluster = {
  name: 'c',
  statName: 'c',
  shares: [{ weight: 1, service: { key: 'default/a', portName: 'http' } }],
  origin,
};

/** The endpoints of a cluster of the Service `a`. */
function endpoints(
  slices: readonly EndpointSlice[],
  spec: Partial<Service['spec']> = {},
  annotations: Record<string, string> = {},
  of: Cluster | SharedCluster = cluster,
): Endpoints {
  const g = new Graph();
  const services = source<Service>(g, { name: 'Service', key: keyOf });
  const all = source<EndpointSlice>(g, { name: 'EndpointSlice', key: keyOf });
  const clusters = source<Cluster | SharedCluster>(g, { name: 'Cluster', key: (c) => c.name });
  const inputs = { slices: slicesOf(all), services: serviceViews(g, services) };
  const out = map(g, clusters, { name: 'Endpoints' }, (ctx, c) =>
    'shares' in c ? sharedEndpointsOf(ctx, inputs, c) : endpointsOf(ctx, inputs, c),
  );
  services.set({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a', namespace: 'default', annotations }, spec });
  for (const s of slices) all.set(s);
  clusters.set(of);
  for (const s of [services, all, clusters]) s.markSynced();
  while (g.dirty) g.flush();
  const [found] = out.list();
  if (!found) throw new Error('a cluster has endpoints, if only none');
  return found;
}

const addresses = (...input: Parameters<typeof endpoints>): readonly string[] =>
  endpoints(...input).endpoints.map((e) => [e.address, e.otherAddress].filter(Boolean).join('+'));

const gone = { ready: false, serving: false };
const leaving = { ready: false, serving: true, terminating: true };

test('ready ones; when none is, those that serve until they have ended; never others', () => {
  const three = (first: object): EndpointSlice =>
    slice('s', 'IPv4', [
      { addresses: ['10.0.0.1'], conditions: first },
      { addresses: ['10.0.0.2'], conditions: leaving },
      { addresses: ['10.0.0.3'], conditions: gone },
    ]);
  expect(addresses([three({})])).toEqual(['10.0.0.1']);
  expect(addresses([three({ ready: true, serving: true })])).toEqual(['10.0.0.1']);
  expect(addresses([three(gone)])).toEqual(['10.0.0.2']);
  expect(
    addresses([slice('s', 'IPv4', [{ addresses: ['10.0.0.3'], conditions: { ready: false, serving: false, terminating: true } }])]),
  ).toEqual([]);
});

test('publishNotReadyAddresses: ready is what the slice says', () => {
  expect(addresses([slice('s', 'IPv4', [{ addresses: ['10.0.0.1'], conditions: { ready: true, serving: false } }])])).toEqual(['10.0.0.1']);
});

test('several addresses of one endpoint are one endpoint', () => {
  expect(addresses([slice('s', 'IPv4', [{ addresses: ['10.0.0.1', '10.0.1.1'] }])])).toEqual(['10.0.0.1']);
});

test('an endpoint in two slices counts once', () => {
  const same = { addresses: ['10.0.0.1'], ...podOf('p') };
  expect(addresses([slice('s', 'IPv4', [same]), slice('t', 'IPv4', [same, { addresses: ['10.0.0.2'] }])])).toEqual([
    '10.0.0.1',
    '10.0.0.2',
  ]);
});

const both = [
  slice('four', 'IPv4', [
    { addresses: ['10.0.0.1'], ...podOf('p') },
    { addresses: ['10.0.0.2'], ...podOf('q') },
  ]),
  slice('six', 'IPv6', [
    { addresses: ['fd00::1'], ...podOf('p') },
    { addresses: ['fd00::2'], ...podOf('q') },
  ]),
];

test('a Pod with an address of each family is one endpoint with both, that of the first family of the Service first', () => {
  expect(addresses(both, { ipFamilies: ['IPv4', 'IPv6'] })).toEqual(['10.0.0.1+fd00::1', '10.0.0.2+fd00::2']);
  expect(addresses(both, { ipFamilies: ['IPv6', 'IPv4'] })).toEqual(['fd00::1+10.0.0.1', 'fd00::2+10.0.0.2']);
  expect(addresses(both)).toEqual(['10.0.0.1+fd00::1', '10.0.0.2+fd00::2']);
  expect(addresses(both, { ipFamilies: ['IPv6', 'IPv4'] }, {}, shared)).toEqual(['fd00::1+10.0.0.1', 'fd00::2+10.0.0.2']);
  expect(addresses(both.slice(1), { ipFamilies: ['IPv6'] })).toEqual(['fd00::1', 'fd00::2']);
});

test('a Pod that is so far in the slice of one family is there all the same', () => {
  const [four, six] = both as [EndpointSlice, EndpointSlice];
  expect(addresses([{ ...four, endpoints: four.endpoints?.slice(0, 1) ?? [] }, six])).toEqual(['10.0.0.1+fd00::1', 'fd00::2']);
  const unready = { ...six, endpoints: (six.endpoints ?? []).map((e) => ({ ...e, conditions: leaving })) };
  expect(addresses([four, unready])).toEqual(['10.0.0.1', '10.0.0.2']);
});

test('without Pods to tell them by (slices of a user), one family is used, the first that has any', () => {
  const four = slice('four', 'IPv4', [{ addresses: ['192.0.2.1'] }]);
  const six = slice('six', 'IPv6', [{ addresses: ['2001:db8::1'] }]);
  expect(addresses([four, six], { ipFamilies: ['IPv6', 'IPv4'] })).toEqual(['2001:db8::1']);
  expect(addresses([four, six])).toEqual(['192.0.2.1']);
  expect(addresses([six])).toEqual(['2001:db8::1']);
});

test('a headless Service is as any other; names that are no addresses are left out', () => {
  expect(addresses(both.slice(0, 1), { clusterIP: 'None' })).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(addresses([slice('names', 'FQDN', [{ addresses: ['example.org'] }])])).toEqual([]);
});

test('a port of another number in each slice', () => {
  expect(
    endpoints([slice('s', 'IPv4', [{ addresses: ['10.0.0.1'] }]), slice('t', 'IPv4', [{ addresses: ['10.0.0.1'] }], 9090)]).endpoints,
  ).toEqual([
    { address: '10.0.0.1', port: 8080 },
    { address: '10.0.0.1', port: 9090 },
  ]);
});

const spread = slice('s', 'IPv4', [
  { addresses: ['10.0.0.1'], zone: 'z1', nodeName: 'n1', hints: { forZones: [{ name: 'z1' }], forNodes: [{ name: 'n1' }] } },
  { addresses: ['10.0.0.2'], zone: 'z2', nodeName: 'n2', hints: { forZones: [{ name: 'z1' }, { name: 'z2' }] } },
  { addresses: ['10.0.0.3'], zone: 'z3', nodeName: 'n3' },
]);

test.each(['PreferClose', 'PreferSameZone'])(
  'trafficDistribution %s: by the zones of hints, without hints by its own',
  (trafficDistribution) => {
    expect(endpoints([spread], { trafficDistribution })).toMatchObject({
      prefers: 'zone',
      endpoints: [
        { near: { zones: ['z1'], nodes: [] } },
        { near: { zones: ['z1', 'z2'], nodes: [] } },
        { near: { zones: ['z3'], nodes: [] } },
      ],
    });
  },
);

test('trafficDistribution PreferSameNode: by node too', () => {
  expect(endpoints([spread], { trafficDistribution: 'PreferSameNode' })).toMatchObject({
    prefers: 'node',
    endpoints: [{ near: { nodes: ['n1'] } }, { near: { nodes: ['n2'] } }, { near: { nodes: ['n3'] } }],
  });
});

test('topology-mode Auto: by hints alone, and only when all have some', () => {
  const auto = { 'service.kubernetes.io/topology-mode': 'Auto' };
  expect(endpoints([spread], {}, auto).prefers).toBeUndefined();
  const hinted = { ...spread, endpoints: spread.endpoints?.slice(0, 2) ?? [] };
  expect(endpoints([hinted], {}, auto)).toMatchObject({ prefers: 'zone', endpoints: [{ near: { zones: ['z1'] } }, {}] });
});

test('no preference: nothing of places is part of it', () => {
  expect(endpoints([spread]).prefers).toBeUndefined();
  expect(endpoints([spread]).endpoints[0]).toEqual({ address: '10.0.0.1', port: 8080, zone: 'z1' });
});
