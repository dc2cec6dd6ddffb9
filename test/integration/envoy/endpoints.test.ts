/** Which endpoint of a Service a request reaches: those close to the proxy first, and a Pod by whichever of its addresses answers. */
import { type Server, createServer } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, type SliceFields, gatewayOf, objectOf, routeOf, ruleOf, sliceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';
import { freePorts } from '../ports.ts';

let gateway: LocalGateway;
let pods: readonly [Backend, Backend, Backend];
let six: Server;
let sixPort: number;

const host = 'a.example.com';
const get = (path: string) => call(gateway.port(80), path, { host });

/** The Pods that answer so many requests. */
async function reached(path: string, count = 24): Promise<readonly string[]> {
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) seen.add(echoOf(await get(path)).service);
  return [...seen].sort();
}

const service = (name: string, fields: string): string => objectOf('v1', 'Service', name, `${fields}ports: [{ name: http, port: 80 }]`);
const slice = (of: string, port: number, fields: SliceFields): string => sliceOf(of, `{ name: http, port: ${port} }`, fields);

/** One Pod on the proxy's node, one in its zone, one elsewhere. */
const places = ['zone: z1, nodeName: n1', 'zone: z1, nodeName: n2', 'zone: z2, nodeName: n3'] as const;
const spread = (of: string, which: readonly number[]): string =>
  which.map((i) => slice(of, pods[i]?.port ?? 0, { name: `${of}-${i}`, endpoint: `addresses: [127.0.0.1], ${places[i]}` })).join('');
const dualPod = 'targetRef: { kind: Pod, name: p, namespace: default }';

beforeAll(async () => {
  pods = await Promise.all([startBackend('here'), startBackend('near'), startBackend('far')]);
  const [dead = 0] = await freePorts(1);
  six = createServer((_request, response) => response.end(JSON.stringify({ service: 'six' })));
  await new Promise<void>((resolve, reject) => void six.once('error', reject).listen(dead, '::1', resolve));
  sixPort = dead;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'services.yaml':
        service('zone', 'trafficDistribution: PreferSameZone, ') +
        service('node', 'trafficDistribution: PreferSameNode, ') +
        service('dual', 'ipFamilies: [IPv4, IPv6], ') +
        service('headless', 'clusterIP: None, '),
      'changing.yaml': service('any', ''),
      'zone.yaml': spread('zone', [0, 1, 2]),
      'node.yaml': spread('node', [0, 1, 2]),
      'any.yaml': spread('any', [0, 1, 2]) + spread('headless', [1]),
      'dual.yaml':
        slice('dual', sixPort, { endpoint: `addresses: [127.0.0.1], ${dualPod}` }) +
        slice('dual', sixPort, { name: 'dual-6', addressType: 'IPv6', endpoint: `addresses: ['::1'], ${dualPod}` }),
      'routes.yaml': routeOf(
        'a',
        [host],
        ['zone', 'node', 'any', 'dual', 'headless'].map((name) => ruleOf(`{ path: { value: /${name} } }`, '', name)),
      ),
    },
    [80],
    { placeOf: () => ({ zone: 'z1', node: 'n1' }) },
  );
  await eventually('Envoy serves', async () => (await get('/any')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const pod of pods) pod.close();
  six.close();
});

test('without a preference all are used', async () => {
  expect(await reached('/any')).toEqual(['far', 'here', 'near']);
});

test('those of the zone of the proxy, as long as there are any', async () => {
  expect(await reached('/zone')).toEqual(['here', 'near']);
  await gateway.write('zone.yaml', spread('zone', [2]));
  await eventually('the others follow', async () => (await reached('/zone', 4)).join() === 'far');
  await gateway.write('zone.yaml', spread('zone', [1, 2]));
  await eventually('back in the zone', async () => (await reached('/zone', 4)).join() === 'near');
  expect(await reached('/zone')).toEqual(['near']);
});

test('those of the node of the proxy, then of its zone, then all', async () => {
  expect(await reached('/node')).toEqual(['here']);
  await gateway.write('node.yaml', spread('node', [1, 2]));
  await eventually('the zone follows', async () => (await reached('/node', 4)).join() === 'near');
  expect(await reached('/node')).toEqual(['near']);
  await gateway.write('node.yaml', spread('node', [2]));
  await eventually('the others follow', async () => (await reached('/node', 4)).join() === 'far');
});

test('a change of the preference holds for the next requests', async () => {
  const change = (fields: string): Promise<void> => gateway.write('changing.yaml', service('any', fields));
  await change('trafficDistribution: PreferClose, ');
  await eventually('only the zone', async () => (await reached('/any')).join() === 'here,near');
  await change('');
  await eventually('all again', async () => (await reached('/any')).join() === 'far,here,near');
});

test('a Pod with two addresses is one endpoint, and is reached by the one that answers', async () => {
  await eventually('it is there', async () => (await get('/dual')).status === 200);
  const answers = await Promise.all(Array.from({ length: 10 }, () => get('/dual')));
  expect(answers.map((a) => a.status)).toEqual(answers.map(() => 200));
  const { body } = await call(gateway.adminPort, '/clusters');
  const hosts = body.split('\n').filter((line) => line.includes('||dual.') && line.includes('::cx_total::'));
  expect(hosts).toHaveLength(1);
});

test('a headless Service is reached by its endpoints', async () => {
  expect(await reached('/headless', 4)).toEqual(['near']);
});
