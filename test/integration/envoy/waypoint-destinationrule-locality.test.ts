/** DestinationRules at waypoints in several places: failover and shares by where endpoints are, through real Envoys. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Place } from '../../../src/ir/backend.ts';
import { type Backend, startBackend } from '../backend.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { type WaypointClient, waypointClient, waypointGateway } from '../waypoint.ts';

const machine = machineAddress();
/** Names of backends with their localities, Nodes and addresses. */
const places = { a: 'r1/z1', b: 'r1/z2', c: 'r2/z1', d: 'r3/z1' } as const;
type Name = keyof typeof places;
const names = Object.keys(places) as Name[];
const backends = new Map<Name, Backend>();
/** The same, each at an address of its own, as Pods have it. */
const pods = new Map<Name, Backend>();
const podAddress = (name: Name): string => `127.0.1.${names.indexOf(name) + 1}`;

/** An endpoint that fails once is out for the rest of the test. */
const outliers = 'outlierDetection: { consecutive5xxErrors: 1, interval: 0.1s, baseEjectionTime: 300s, maxEjectionPercent: 100 }';

const services = { entry: '10.96.6.1', named: '10.96.6.2', service: '10.96.6.3' } as const;
type Service = keyof typeof services;
const hosts: Readonly<Record<Service, string>> = { entry: 'entry.example.com', named: 'named.example.com', service: 'service' };

function world(): string {
  const inline = names
    .map(
      (n) =>
        `{ address: ${machine}, locality: ${places[n]}, labels: { app: ${n}, kind: ${n > 'b' ? 'x' : 'y'} }, ports: { http: ${backends.get(n)?.port} } }`,
    )
    .join(', ');
  const entry = (name: Service, resolution: string): string => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, labels: { istio.io/use-waypoint: gw } }
spec: { hosts: [${hosts[name]}], addresses: [${services[name]}], resolution: ${resolution}, ports: [{ number: 80, name: http, protocol: HTTP }], endpoints: [${inline}] }
`;
  const slices = names.map((n) => {
    const [region, zone] = places[n].split('/');
    return `---
apiVersion: v1
kind: Node
metadata: { name: node-${n}, labels: { topology.kubernetes.io/region: ${region}, topology.kubernetes.io/zone: ${zone} } }
---
apiVersion: v1
kind: Pod
metadata: { name: pod-${n}, labels: { version: v-${n} } }
spec: { nodeName: node-${n}, containers: [{ name: app }] }
status: { phase: Running, podIPs: [{ ip: ${podAddress(n)} }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: service-${n}, labels: { kubernetes.io/service-name: service } }
addressType: IPv4
ports: [{ name: http, port: ${pods.get(n)?.port} }]
endpoints: [{ addresses: [${podAddress(n)}], nodeName: node-${n}, zone: ${zone}, conditions: { ready: true } }]
`;
  });
  return `${entry('entry', 'STATIC')}${entry('named', 'DNS')}---
apiVersion: v1
kind: Service
metadata: { name: service, labels: { istio.io/use-waypoint: gw } }
spec: { clusterIPs: [${services.service}], ports: [{ name: http, port: 80 }], trafficDistribution: PreferClose }
${slices.join('')}`;
}

interface Proxy {
  readonly gateway: LocalGateway;
  readonly client: WaypointClient;
}

async function start(place: Place): Promise<Proxy> {
  const gateway = await startLocalGateway({ 'gateway.yaml': waypointGateway, 'world.yaml': world() }, [15_088], { placeOf: () => place });
  const client = waypointClient(() => gateway.port(15_088), services.entry);
  await eventually('the waypoint serves', async () => (await client.get('/')).status === 200);
  return { gateway, client };
}

/** How many of the requests each backend got. */
async function counts({ client }: Proxy, service: Service, requests = 24): Promise<Partial<Record<Name, number>>> {
  const found: Partial<Record<Name, number>> = {};
  for (let i = 0; i < requests; i++) {
    const name = echoOf(await client.get('/', { address: services[service] })).service as Name;
    found[name] = (found[name] ?? 0) + 1;
  }
  return found;
}

const reached = async (proxy: Proxy, service: Service): Promise<string> =>
  Object.keys(await counts(proxy, service))
    .sort()
    .join('');

const reaches = (proxy: Proxy, service: Service, expected: string): Promise<void> =>
  eventually(`${expected} is reached`, async () => {
    const found = await reached(proxy, service);
    return found === expected || Promise.reject(new Error(found));
  });

/** Whoever answers is out from then on. */
const fails = async ({ client }: Proxy, service: Service): Promise<void> => {
  expect((await client.get('/status/503', { address: services[service] })).headers['x-out']).toBe('backend');
};

async function rule({ gateway }: Proxy, service: Service, trafficPolicy: string): Promise<void> {
  const object = `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: rule }\nspec: { host: ${hosts[service]}, trafficPolicy: { ${trafficPolicy} } }\n`;
  await gateway.write('rule.yaml', object);
}

beforeAll(async () => {
  for (const name of names) {
    backends.set(name, await startBackend(name, { address: machine }));
    pods.set(name, await startBackend(name, { address: podAddress(name) }));
  }
});

afterAll(() => {
  for (const backend of [...backends.values(), ...pods.values()]) backend.close();
});

describe('in r1/z1', () => {
  let proxy: Proxy;
  beforeEach(async () => {
    proxy = await start({ region: 'r1', zone: 'z1', node: 'node-a' });
  });
  afterEach(async () => {
    expect(proxy.gateway.rejections()).toEqual([]);
    proxy.client.close();
    await proxy.gateway.stop();
  });

  test.each<[Service]>([['entry'], ['named'], ['service']])('%s: the zone first, then the region, then all others', async (service) => {
    await rule(proxy, service, `${outliers}, loadBalancer: { localityLbSetting: { enabled: true } }`);
    await reaches(proxy, service, 'a');
    await fails(proxy, service);
    await reaches(proxy, service, 'b');
    await fails(proxy, service);
    await reaches(proxy, service, 'cd');
  });

  test('failover names the region that comes first', async () => {
    await rule(proxy, 'entry', `${outliers}, loadBalancer: { localityLbSetting: { failover: [{ from: r1, to: r3 }] } }`);
    await reaches(proxy, 'entry', 'a');
    await fails(proxy, 'entry');
    await reaches(proxy, 'entry', 'b');
    await fails(proxy, 'entry');
    await reaches(proxy, 'entry', 'd');
    await fails(proxy, 'entry');
    await reaches(proxy, 'entry', 'c');
  });

  test('failoverPriority goes by labels', async () => {
    await rule(proxy, 'entry', `${outliers}, loadBalancer: { localityLbSetting: { failoverPriority: [kind=x, app=c] } }`);
    await reaches(proxy, 'entry', 'c');
    await fails(proxy, 'entry');
    await reaches(proxy, 'entry', 'd');
    await fails(proxy, 'entry');
    await reaches(proxy, 'entry', 'ab');
    const labels = '[version=v-b, topology.kubernetes.io/region]';
    await rule(proxy, 'service', `${outliers}, loadBalancer: { localityLbSetting: { failoverPriority: ${labels} } }`);
    await reaches(proxy, 'service', 'b');
    await fails(proxy, 'service');
    await reaches(proxy, 'service', 'acd');
  });

  test.each<[Service]>([['entry'], ['named'], ['service']])('%s: distribute gives each place its share', async (service) => {
    const distribute = '[{ from: r2/*, to: { r2: 100 } }, { from: r1/z1/*, to: { r1/z1/*: 80, r1/z2/*: 20 } }]';
    await rule(proxy, service, `loadBalancer: { localityLbSetting: { distribute: ${distribute} } }`);
    await reaches(proxy, service, 'ab');
    const { a = 0, b = 0 } = await counts(proxy, service, 300);
    expect(a + b).toBe(300);
    expect(b).toBeGreaterThan(30);
    expect(b).toBeLessThan(90);
  });

  test('distribute holds with consistent hashing', async () => {
    const distribute = '[{ from: r1/*, to: { r2: 100 } }]';
    await rule(
      proxy,
      'entry',
      `loadBalancer: { consistentHash: { httpHeaderName: x-user }, localityLbSetting: { distribute: ${distribute} } }`,
    );
    await reaches(proxy, 'entry', 'c');
  });

  test('what the Service says holds, unless the rule says something else', async () => {
    await reaches(proxy, 'service', 'acd');
    await rule(proxy, 'service', outliers);
    await rule(proxy, 'service', `${outliers}, loadBalancer: { localityLbSetting: { enabled: false } }`);
    await reaches(proxy, 'service', 'abcd');
    await rule(proxy, 'service', `loadBalancer: { localityLbSetting: { failover: [{ from: r1, to: r2 }] } }`);
    await eventually('it is told', () =>
      JSON.stringify(proxy.gateway.status('DestinationRule default/rule')).includes('failover has no effect without outlierDetection'),
    );
    expect(await reached(proxy, 'service')).toBe('abcd');
  });
});

test('in r2/z9: the region first, and another share', async () => {
  const proxy = await start({ region: 'r2', zone: 'z9', node: 'node-z' });
  await rule(proxy, 'service', `${outliers}, loadBalancer: { localityLbSetting: { failover: [{ from: r2, to: r3 }] } }`);
  await reaches(proxy, 'service', 'c');
  await fails(proxy, 'service');
  await reaches(proxy, 'service', 'd');
  const distribute = '[{ from: r2/*, to: { r1/z2: 100 } }, { from: r1/*, to: { r1: 100 } }]';
  await rule(proxy, 'named', `loadBalancer: { localityLbSetting: { distribute: ${distribute} } }`);
  await reaches(proxy, 'named', 'b');
  expect(proxy.gateway.rejections()).toEqual([]);
  proxy.client.close();
  await proxy.gateway.stop();
});

test('in no known place all are the same', async () => {
  const proxy = await start({});
  await rule(proxy, 'entry', outliers);
  await reaches(proxy, 'entry', 'abcd');
  proxy.client.close();
  await proxy.gateway.stop();
});
