/** Which of several DestinationRules holds at a waypoint, and what subsets come to, through a real Envoy. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Backend, sliceOf, startBackend } from '../backend.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { waypointClient, waypointGateway } from '../waypoint.ts';

const machine = machineAddress();
let gateway: LocalGateway;
const backends: Backend[] = [];
const client = waypointClient(() => gateway.port(15_088), '10.96.4.1');
const { get } = client;
const written = new Set<string>();

/** Requests of one user stay at one endpoint: how a test sees which rule holds. */
const sticky = '{ loadBalancer: { consistentHash: { httpHeaderName: x-user } } }';
const spread = '{ loadBalancer: { simple: ROUND_ROBIN } }';

interface Rule {
  readonly namespace?: string;
  readonly name: string;
  /** Day of its creation. */
  readonly day?: number;
  readonly host?: string;
  /** Fields of the spec, in YAML's flow style. */
  readonly spec?: string;
}

async function write({ namespace = 'default', name, day = 1, host = 'many.example.com', spec = `trafficPolicy: ${sticky}` }: Rule) {
  written.add(`${namespace}-${name}.yaml`);
  const metadata = `{ name: ${name}, namespace: ${namespace}, creationTimestamp: '2026-01-0${day}T00:00:00Z' }`;
  const object = `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: ${metadata}\nspec: { host: '${host}', ${spec} }\n`;
  await gateway.write(`${namespace}-${name}.yaml`, object);
}

/** How many endpoints the requests of one user reach. */
async function reached(call: Parameters<typeof get>[1] = {}): Promise<number> {
  const answers = await Promise.all(Array.from({ length: 12 }, () => get('/', { ...call, headers: { 'x-user': 'one' } })));
  return new Set(answers.map((a) => echoOf(a).service)).size;
}

const holds = (call?: Parameters<typeof get>[1]) => eventually('the rule holds', async () => (await reached(call)) === 1);
const holdsNot = (call?: Parameters<typeof get>[1]) => eventually('the rule does not hold', async () => (await reached(call)) === 3);

/** The condition of a rule, as text. */
const conditionOf = (name: string): string => JSON.stringify(gateway.status(`DestinationRule ${name}`));

beforeAll(async () => {
  for (const name of ['a', 'b', 'c']) backends.push(await startBackend(name, { address: machine }));
  const endpoints = backends.map((b, i) => `{ address: ${machine}, labels: { version: v${i} }, ports: { http: ${b.port} } }`).join(', ');
  const labels = '{ istio.io/use-waypoint: gw, istio.io/use-waypoint-namespace: default }';
  const entry = (namespace: string, host: string, address: string): string => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: many, namespace: ${namespace}, labels: ${labels} }
spec: { hosts: [${host}], addresses: [${address}], resolution: STATIC, ports: [{ number: 80, name: http, protocol: HTTP }], endpoints: [${endpoints}] }
`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway.replace('port: 15088 }]', 'port: 15088, allowedRoutes: { namespaces: { from: All } } }]'),
      'entries.yaml': entry('default', 'many.example.com', '10.96.4.1') + entry('server', 'far.example.com', '10.96.4.2'),
      'versions.yaml': `---
apiVersion: v1
kind: Service
metadata: { name: v2 }
spec: { clusterIPs: [10.96.4.3], ports: [{ name: http, port: 80 }] }
${[0, 1].map((i) => sliceOf('v2', `{ name: http, port: ${backends[i]?.port} }`, { name: `v2-${i + 1}`, endpoint: `addresses: [${machine}], conditions: { ready: true }` })).join('')}`,
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await reached()) === 3 && (await reached({ address: '10.96.4.2' })) === 3);
});

afterEach(async () => {
  for (const file of written) await gateway.remove(file);
  written.clear();
  await holdsNot();
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  for (const backend of backends) backend.close();
});

test('of several for one host the oldest with a trafficPolicy holds, and the others are told so', async () => {
  await write({ name: 'first', day: 1, spec: 'subsets: [{ name: v1, labels: { version: v1 } }]' });
  await write({ name: 'second', day: 2 });
  await holds();
  expect(conditionOf('default/first')).toContain('spec.subsets has no effect');
  expect(conditionOf('default/second')).toContain('"conditions":[]');
  await write({ name: 'third', day: 3, spec: `trafficPolicy: ${spread}` });
  await eventually('it is told', () => conditionOf('default/third').includes('"reason":"Conflicted"'));
  expect(conditionOf('default/third')).toContain('DestinationRule default/second, which is older');
  expect(await reached()).toBe(1);
  await write({ name: 'zeroth', day: 1, spec: `trafficPolicy: ${spread}` });
  await holdsNot();
  await eventually('now the other one is told', () => conditionOf('default/second').includes('DestinationRule default/zeroth'));
});

test('the most specific host holds, and exportTo hides a rule', async () => {
  await write({ name: 'wide', host: '*.example.com' });
  await holds();
  await write({ name: 'exact', day: 2, spec: `trafficPolicy: ${spread}` });
  await holdsNot();
  await write({ name: 'exact', day: 2, spec: `exportTo: [elsewhere], trafficPolicy: ${spread}` });
  await holds();
});

test('the namespace of the waypoint comes before that of the service, and the root namespace last', async () => {
  const far = { address: '10.96.4.2' };
  const host = 'far.example.com';
  await write({ namespace: 'istio-system', name: 'root', host });
  await holds(far);
  await write({ namespace: 'server', name: 'service', host, spec: `trafficPolicy: ${spread}` });
  await holdsNot(far);
  await write({ namespace: 'default', name: 'waypoint', host });
  await holds(far);
  await write({ namespace: 'default', name: 'waypoint', host, spec: `exportTo: [server], trafficPolicy: ${sticky}` });
  await holdsNot(far);
  await write({ namespace: 'server', name: 'service', host, spec: `exportTo: ['.'], trafficPolicy: ${spread}` });
  await holds(far);
});

test('subsets leave the settings of the host as they are; a Service for each has settings of its own', async () => {
  const subsets = `subsets: [{ name: v2, labels: { version: v2 }, trafficPolicy: ${sticky} }]`;
  await write({ name: 'rule', spec: `trafficPolicy: ${spread}, ${subsets}` });
  await eventually('it is told', () => conditionOf('default/rule').includes('make a Service for each'));
  await holdsNot();
  await write({ name: 'rule', spec: `trafficPolicy: ${sticky}, ${subsets}` });
  await holds();
  await gateway.write(
    'route.yaml',
    `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: versions }
spec:
  parentRefs: [{ group: networking.istio.io, kind: ServiceEntry, name: many }]
  rules: [{ backendRefs: [{ name: v2, port: 80 }] }]
`,
  );
  await eventually('the route leads to the Service of a version', async () => (await reached()) === 2);
  await write({ name: 'version', host: 'v2' });
  await holds();
  await gateway.remove('route.yaml');
});
