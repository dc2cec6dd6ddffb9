import { expect, test } from 'vitest';
import type { KubeObject } from '../kube/types/meta.ts';
import { sharedObjects, waypointNamespace } from './testing/binding-rows.ts';
import { meshGraph } from './testing/mesh-graph.ts';

const labels = { 'istio.io/use-waypoint': 'all', 'istio.io/use-waypoint-namespace': waypointNamespace };

const pod = (name: string, ips: readonly string[], { spec = {}, annotations = {} } = {}): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'apps', labels, annotations },
    spec: { containers: [], ...spec },
    status: { phase: 'Running', podIPs: ips.map((ip) => ({ ip })) },
  }) as KubeObject;

const entry = (name: string, address: string, ports = {}): KubeObject =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name, namespace: 'apps', labels },
    spec: { address, ports },
  }) as KubeObject;

const slice = (name: string, address: string, ...ports: readonly object[]): KubeObject =>
  ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'apps' },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address] }],
    ports,
  }) as KubeObject;

const namespace: KubeObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'apps' } };
const served = (...objects: readonly KubeObject[]) => meshGraph([...sharedObjects(), namespace, ...objects]).api.servedWorkloads.list();

test('a Pod is served under all of its addresses, as one of its Deployment', () => {
  expect(served(pod('echo-7d4b9c8f6d-x2x5k', ['10.0.0.1', 'fd00::1']))).toEqual([
    {
      key: `${waypointNamespace}/all|Pod/apps/echo-7d4b9c8f6d-x2x5k`,
      waypoint: `${waypointNamespace}/all`,
      namespace: 'apps',
      workload: 'echo',
      members: [
        { address: '10.0.0.1', ports: [] },
        { address: 'fd00::1', ports: [] },
      ],
    },
  ]);
});

test('one that takes HBONE has to be of its ServiceAccount', () => {
  const annotations = { 'ambient.istio.io/redirection': 'enabled' };
  expect(served(pod('echo', ['10.0.0.1'], { annotations, spec: { serviceAccountName: 'worker' } }))).toMatchObject([{ account: 'worker' }]);
});

test('ports are what Services say that lead there, unless they disagree', () => {
  const [found] = served(
    pod('echo', ['10.0.0.1']),
    slice('one', '10.0.0.1', { name: 'http', port: 80 }, { name: 'web', port: 81, appProtocol: 'grpc' }, { name: 'http', port: 82 }),
    slice('two', '10.0.0.1', { name: 'tls', port: 443 }, { name: 'tcp', port: 82 }, { name: 'any', port: 83 }, { port: 3306 }),
    slice('udp', '10.0.0.1', { name: 'http', port: 84, protocol: 'UDP' }),
    slice('other', '10.0.0.2', { name: 'http', port: 85 }),
  );
  expect(found?.members).toEqual([
    {
      address: '10.0.0.1',
      ports: [
        { port: 80, protocol: 'http' },
        { port: 81, protocol: 'http' },
        { port: 443, protocol: 'tcp' },
        { port: 3306, protocol: 'tcp' },
      ],
    },
  ]);
});

test('those of a WorkloadEntry are what it calls them', () => {
  expect(served(entry('machine', '192.0.2.7', { 'http-web': 8080, any: 9000 }))).toMatchObject([
    { workload: 'machine', members: [{ address: '192.0.2.7', ports: [{ port: 8080, protocol: 'http' }] }] },
  ]);
});

test.each([
  ['of a node', [pod('echo', ['10.0.0.1'], { spec: { hostNetwork: true } })]],
  ['of loopback', [pod('echo', ['127.0.0.1', '::1', '169.254.169.254'])]],
  [
    'of a WorkloadEntry that a Pod has',
    [{ ...pod('echo', ['10.0.0.1']), metadata: { name: 'echo', namespace: 'apps' } }, entry('e', '10.0.0.1')],
  ],
])('addresses %s are not served', (_what, objects) => {
  expect(served(...objects)).toEqual([]);
});

test.each(['FD00:0::1', '::ffff:10.0.0.1', 'fd00::1%eth0'])(
  '%s of a WorkloadEntry is an address of a Pod, however it is written',
  (address) => {
    const [only, ...others] = served(pod('echo', ['10.0.0.1', 'fd00::1']), entry('other', address));
    expect([only?.key, others]).toEqual([`${waypointNamespace}/all|Pod/apps/echo`, []]);
  },
);

test('two WorkloadEntries with one address have it in one form', () => {
  const found = served(entry('a', 'FD00:0::2'), entry('b', 'fd00::2'));
  expect(found.flatMap((w) => w.members.map((m) => m.address))).toEqual(['fd00::2', 'fd00::2']);
});
