import { expect, test } from 'vitest';
import type { MeshProtocol } from '../ir/mesh.ts';
import { map } from '../krt/index.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import type { ServiceEntry } from '../kube/types/istio-networking.ts';
import { meshGraph } from '../waypoint/testing/mesh-graph.ts';
import { serviceEntryPortProtocol, servicePortProtocol } from './protocol.ts';
import { hostsOfServiceEntry } from './serviceentry.ts';
import { serviceEntryEndpoints } from './workloads.ts';

type Written = KubeObject & { readonly spec: object; readonly status?: object };

const namedPorts: readonly (readonly [string, MeshProtocol])[] = [
  ['http', 'http'],
  ['http-web', 'http'],
  ['HTTP-web', 'http'],
  ['http2-web', 'http2'],
  ['grpc', 'grpc'],
  ['grpc-web', 'grpc-web'],
  ['grpc-web-x', 'grpc-web'],
  ['grpc-webby', 'grpc-web'],
  ['https-x', 'tls'],
  ['tls', 'tls'],
  ['tcp-db', 'tcp'],
  ['redis', 'tcp'],
  ['httpweb', 'auto'],
  ['constructor', 'auto'],
  ['', 'auto'],
];

test.each(namedPorts)('a port named %j carries %s', (name, protocol) => {
  expect(servicePortProtocol({ port: 80, name })).toBe(protocol);
});

const appProtocols: readonly (readonly [string, MeshProtocol])[] = [
  ['kubernetes.io/h2c', 'http2'],
  ['kubernetes.io/ws', 'http'],
  ['kubernetes.io/wss', 'tls'],
  ['grpc', 'grpc'],
  ['example.com/own', 'auto'],
];

test.each(appProtocols)('appProtocol %j means %s, whatever the name', (appProtocol, protocol) => {
  expect(servicePortProtocol({ port: 80, name: 'tcp', appProtocol })).toBe(protocol);
});

test('ports of servers that speak first are TCP unless something is said', () => {
  expect(servicePortProtocol({ port: 3306 })).toBe('tcp');
  expect(servicePortProtocol({ port: 3306, name: 'http' })).toBe('http');
});

test.each([
  ['HTTP', 'http'],
  ['HTTPS', 'tls'],
  ['GRPC-Web', 'grpc-web'],
  ['MONGO', 'tcp'],
  [undefined, 'auto'],
  ['other', 'auto'],
] as const)('protocol %j of a ServiceEntry means %s', (protocol, expected) => {
  expect(serviceEntryPortProtocol(protocol)).toBe(expected);
});

function entry(spec: Partial<ServiceEntry['spec']>, more: Partial<ServiceEntry> = {}, name = 'se'): ServiceEntry {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, namespace: 'apps' },
    spec: { hosts: ['api.example.com'], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], ...spec },
    ...more,
  };
}

const allocated = {
  status: {
    addresses: [
      { value: '240.240.0.1', host: 'api.example.com' },
      { value: '2001:2::1', host: 'api.example.com' },
      { value: '240.240.0.2', host: 'b.example.com' },
    ],
  },
};

test('addresses: those of the user, else the allocated ones of each host', () => {
  const addresses = (se: ServiceEntry): readonly (readonly string[])[] => hostsOfServiceEntry(se).map((s) => s.addresses);
  const hosts = ['api.example.com', 'b.example.com'];
  expect(addresses(entry({ hosts, resolution: 'STATIC' }, allocated))).toEqual([['240.240.0.1', '2001:2::1'], ['240.240.0.2']]);
  expect(addresses(entry({ addresses: ['10.1.0.0/16'], resolution: 'STATIC' }, allocated))).toEqual([['10.1.0.0/16']]);
  expect(addresses(entry({ resolution: 'NONE' }, allocated))).toEqual([[]]);
  const same = ['10.0.0.1', '10.0.0.1/32', 'FD00:0::1', 'fd00::1', '10.1.2.3/16', '10.1.0.0/16', '10.0.0.0/33', 'x', 'fe80::1%eth0'];
  expect(addresses(entry({ addresses: same }))).toEqual([['10.0.0.1', 'fd00::1', '10.1.0.0/16']]);
  const labels = { 'networking.istio.io/enable-autoallocate-ip': 'False' };
  expect(addresses(entry({ resolution: 'DNS' }, { ...allocated, metadata: { name: 'se', namespace: 'apps', labels } }))).toEqual([[]]);
});

test('where the endpoints are', () => {
  const from = (spec: Partial<ServiceEntry['spec']>): unknown => hostsOfServiceEntry(entry(spec))[0]?.endpoints;
  expect(from({})).toEqual({ from: 'original-destination' });
  expect(from({ resolution: 'DNS' })).toEqual({ from: 'dns', endpoints: [{ address: 'api.example.com', ports: {} }] });
  expect(from({ resolution: 'DNS', endpoints: [{ address: 'us.example.com', ports: { http: 8080 } }] })).toEqual({
    from: 'dns',
    endpoints: [{ address: 'us.example.com', ports: { http: 8080 } }],
  });
  expect(from({ resolution: 'DYNAMIC_DNS', hosts: ['*.example.com'] })).toEqual({ from: 'request-host' });
  expect(from({ resolution: 'STATIC', endpoints: [{ address: '10.0.0.1', locality: 'r/z/s', weight: 3 }, { network: 'n2' }] })).toEqual({
    from: 'static',
    endpoints: [{ address: '10.0.0.1', ports: {}, at: { region: 'r', zone: 'z', subzone: 's' }, weight: 3 }],
  });
  // The proxy administrates itself on loopback, and its files are nobody's.
  const own = ['127.0.0.1', '::1', '169.254.169.254', 'localhost', '127.1', 'unix:///run/x.sock'].map((address) => ({ address }));
  for (const resolution of ['STATIC', 'DNS'] as const) {
    expect(from({ resolution, endpoints: own })).toMatchObject({ endpoints: [] });
  }
  expect(from({ resolution: 'DNS', hosts: ['localhost'] })).toEqual({ from: 'dns', endpoints: [] });
  expect(from({ resolution: 'STATIC', workloadSelector: { labels: { app: 'x' } } })).toEqual({
    from: 'workloads',
    namespace: 'apps',
    labels: { app: 'x' },
  });
});

function service(name: string, spec: object): Written {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'apps' }, spec };
}

test('Services: every family, no UDP, headless without addresses, no ExternalName', () => {
  const ports = [
    { port: 53, protocol: 'UDP' },
    { port: 80, name: 'http' },
  ];
  const { api } = meshGraph([
    service('dual', { clusterIP: '10.96.0.1', clusterIPs: ['10.96.0.1', 'fd00::1'], ports }),
    service('headless', { clusterIP: 'None', clusterIPs: ['None'], ports }),
    service('outside', { type: 'ExternalName', externalName: 'example.com' }),
  ]);
  const found = api.meshServices.list().map(({ service: s }) => [s.name, s.addresses, s.ports.map((p) => p.port)]);
  expect(found.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1))).toEqual([
    ['dual', ['10.96.0.1', 'fd00::1'], [80]],
    ['headless', [], [80]],
  ]);
});

test('of several objects with one host a Service wins, else the oldest ServiceEntry', () => {
  const at = (name: string, creationTimestamp: string, host: string): ServiceEntry =>
    entry({ hosts: [host] }, { metadata: { name, namespace: 'apps', creationTimestamp } });
  const host = 'echo.apps.svc.cluster.local';
  const mesh = meshGraph([
    at('young', '2026-01-02T00:00:00Z', 'x.example.com'),
    at('old', '2026-01-01T00:00:00Z', 'x.example.com'),
    at('older-than-service', '2020-01-01T00:00:00Z', host),
    service('echo', {}),
  ]);
  const winner = (key: string): string | undefined => mesh.api.meshServices.get(key)?.service.name;
  expect(winner('apps/x.example.com')).toBe('old');
  expect(winner(`apps/${host}`)).toBe('echo');
  mesh.remove(service('echo', {}));
  expect(winner(`apps/${host}`)).toBe('older-than-service');
});

test('endpoints of a ServiceEntry that selects Pods and WorkloadEntries', () => {
  const pod = (name: string, ip: string, ready: boolean): Written => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'apps', labels: { app: 'x' } },
    spec: { containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }] },
    status: { phase: 'Running', podIPs: [{ ip }], conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  });
  const workload: Written = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name: 'vm', namespace: 'apps' },
    spec: { address: '10.0.0.3', labels: { app: 'x' }, weight: 3 },
  };
  const { api, graph } = meshGraph([
    entry({ resolution: 'STATIC', workloadSelector: { labels: { app: 'x' } } }),
    pod('ready', '10.0.0.1', true),
    pod('unready', '10.0.0.2', false),
    workload,
  ]);
  const found = map(graph, api.meshServices, { name: 'Test' }, (ctx, { service: s }) => ({
    endpoints: s.ports.map((port) => serviceEntryEndpoints(ctx, api.meshWorkloads, s, port)),
  }));
  graph.flush();
  expect(found.list().map((f) => f.endpoints)).toEqual([
    [
      [
        { address: '10.0.0.1', port: 8080 },
        { address: '10.0.0.3', port: 80, weight: 3 },
      ],
    ],
  ]);
});
