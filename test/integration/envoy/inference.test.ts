/**
 * InferencePools: every request goes where its endpoint picker says, through a real Envoy. The names in brackets are the tests of the upstream
 * conformance suite (Gateway API Inference Extension) whose behaviour a test here shows.
 */
import { createServer, request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, gatewayOf, routeOf, serviceOf, startBackend } from '../backend.ts';
import { caMapOf } from '../certificates.ts';
import { pickerService, podOf, poolOf, poolRef } from '../inference.ts';
import { type Answer, type LocalGateway, call, callH2c, echoOf, eventually, startLocalGateway } from '../local.ts';
import { type Picker, destinationHeader, selectionHeader, servedHeader, startPicker } from '../picker.ts';
import { freePorts } from '../ports.ts';

const addresses = ['127.0.0.11', '127.0.0.12', '127.0.0.13'] as const;
const [first, second, third] = addresses;

let gateway: LocalGateway;
let ports: readonly [number, number];
let llama: readonly Backend[];
const closing: { close(): unknown }[] = [];
/** Over TLS with a certificate of its own, verified TLS, plain text, and one that is ended on the way. */
let picker: Picker;
let verified: Picker;
let plain: Picker;
let mortal: Picker;

const rule = (path: string, ...refs: readonly string[]): string =>
  `{ matches: [{ path: { value: ${path} } }], backendRefs: [${refs.join(', ')}] }`;
const limited = `{ matches: [{ path: { value: /limited } }], filters: [{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: TrafficPolicy, name: limit } }], backendRefs: [${poolRef('llama')}] }`;

const hosts = ['exact.example.com', 'any.wild.example.com'] as const;
const rules = [
  rule('/llama', poolRef('llama')),
  rule('/ranks', poolRef('ranks')),
  rule('/h2c', poolRef('h2c')),
  rule('/weighted', poolRef('llama', ', weight: 70'), poolRef('other', ', weight: 30')),
  rule('/half', poolRef('llama', ', weight: 1'), '{ name: web, port: 80, weight: 1 }'),
  rule('/other', poolRef('other')),
  rule('/matching-port', poolRef('llama', ', port: 1234')),
  rule('/verified', poolRef('verified')),
  rule('/plain', poolRef('plain')),
  rule('/untrusted', poolRef('untrusted')),
  rule('/open', poolRef('open')),
  rule('/closed', poolRef('closed')),
  rule('/missing-service', poolRef('missing-service')),
  rule('/missing-service-open', poolRef('missing-service-open')),
  rule('/no-picker', poolRef('no-picker')),
  rule('/missing', poolRef('missing')),
  rule('/web', '{ name: web, port: 80 }'),
  limited,
];

const policies = `---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: limit }
spec: { rateLimit: { local: { tokenBucket: { maxTokens: 1, fillInterval: 3600s } } } }
`;

/** The Pods of `llama`; the second may be not ready. */
const llamaPods = (ready: boolean): string =>
  addresses.map((address, i) => podOf('llama', `llama-${i}`, address, i !== 1 || ready)).join('');

beforeAll(async () => {
  const started = async <B extends { close(): unknown }>(what: Promise<B>): Promise<B> => {
    const b = await what;
    closing.push(b);
    return b;
  };
  ports = (await freePorts(2)) as typeof ports;
  const [port, rank] = ports;
  const at = (address: string, name: string, p = port, h2c = false) => started(startBackend(name, { port: p, address, h2c }));
  llama = await Promise.all(addresses.map((address, i) => at(address, `llama-${i}`)));
  await Promise.all(addresses.map((address, i) => at(address, `rank-${i}`, rank)));
  await at('127.0.0.21', 'other');
  await at('127.0.0.31', 'h2c', port, true);
  const web = await started(startBackend('web'));
  const self = await createCertificate(['picker'], Date.now());
  const tls = { certificate: Buffer.from(self.certificate), privateKey: Buffer.from(self.privateKey) };
  picker = await started(startPicker({ tls }));
  verified = await started(startPicker({ tls }));
  plain = await started(startPicker());
  mortal = await startPicker({ tls });
  const backendTls = (name: string, hostname: string): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: { name: ${name} }
spec:
  targetRefs: [{ group: '', kind: Service, name: ${name} }]
  validation: { hostname: ${hostname}, caCertificateRefs: [{ group: '', kind: ConfigMap, name: ca }] }
`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'second.yaml': `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: second }
spec: { gatewayClassName: kgateway, listeners: [{ name: http, protocol: HTTP, port: 80 }] }
`,
      'routes.yaml': [rules.slice(0, 10), rules.slice(10)]
        .map((some, i) => routeOf(`models-${i}`, ['exact.example.com', '*.wild.example.com'], some))
        .join(''),
      'policies.yaml': policies + backendTls('verified-picker', 'picker') + backendTls('untrusted-picker', 'somebody-else'),
      'pools.yaml': [
        poolOf('llama', { ports: [port], picker: 'picker' }),
        poolOf('ranks', { ports: [port, rank], picker: 'picker', app: 'llama' }),
        poolOf('other', { ports: [port], picker: 'plain-picker' }),
        poolOf('h2c', { ports: [port], picker: 'picker', h2c: true }),
        poolOf('verified', { ports: [port], picker: 'verified-picker', app: 'llama' }),
        poolOf('untrusted', { ports: [port], picker: 'untrusted-picker', app: 'llama' }),
        poolOf('plain', { ports: [port], picker: 'plain-picker', app: 'llama' }),
        poolOf('open', { ports: [port], picker: 'mortal-picker', app: 'llama', failOpen: true }),
        poolOf('closed', { ports: [port], picker: 'mortal-picker', app: 'llama' }),
        poolOf('missing-service', { ports: [port], picker: 'missing', app: 'llama' }),
        poolOf('missing-service-open', { ports: [port], picker: 'missing', app: 'llama', failOpen: true }),
        poolOf('no-picker', { ports: [port], picker: null, app: 'llama' }),
      ].join(''),
      'llama.yaml': llamaPods(true),
      'pods.yaml': podOf('other', 'other', '127.0.0.21') + podOf('h2c', 'h2c', '127.0.0.31'),
      'services.yaml': [
        serviceOf(web),
        pickerService('picker', picker, 'http2'),
        pickerService('verified-picker', verified),
        pickerService('untrusted-picker', verified),
        pickerService('plain-picker', plain, 'kubernetes.io/h2c'),
        pickerService('mortal-picker', mortal),
      ].join(''),
      'ca.yaml': caMapOf('ca', self.ca),
    },
    [80],
  );
  await eventually('Envoy asks its pickers', async () => {
    const paths = ['/llama', '/plain', '/open', '/verified', '/ranks'];
    const answers = await Promise.all(paths.map((path) => ask(path, first)));
    const failed = answers.flatMap((a, i) => (a.status === 200 ? [] : [`${paths[i]}: ${a.status} ${a.body}`]));
    if (failed.length > 0) throw new Error(failed.join(', '));
    return true;
  });
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  for (const c of closing) c.close();
});

const endpoint = (address: string, port = ports[0]): string => `${address}:${port}`;

interface Ask {
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A request for which the picker chooses these addresses. */
function ask(path: string, addresses: string, { host = hosts[0], headers = {}, body = 'prompt' }: Ask = {}): Promise<Answer> {
  const selection = addresses
    .split(',')
    .map((a) => (a.includes(':') ? a : endpoint(a)))
    .join(',');
  return call(gateway.port(80), path, { host, method: 'POST', body, headers: { [selectionHeader]: selection, ...headers } });
}

const serverOf = async (answer: Promise<Answer>): Promise<string> => echoOf(await answer).service;

/** `Type=Status Reason` of the entries of an object's status, by Gateway. */
function conditionsOf(object: string): Readonly<Record<string, readonly string[]>> {
  const status = gateway.status(object);
  if (status?.form !== 'parents') return {};
  return Object.fromEntries(
    status.entries.map((e) => [String(e.ref['name']), e.conditions.map((c) => `${c.type}=${c.status} ${c.reason}`)]),
  );
}

describe.each(hosts)('%s', (host) => {
  test('a request goes to the endpoint that the picker chose, and only there (GatewayFollowingEPPRouting)', async () => {
    for (const [i, address] of addresses.entries()) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => serverOf(ask('/llama', address, { host }))));
      expect(new Set(answers)).toEqual(new Set([`llama-${i}`]));
    }
  });

  test('without a body as well', async () => {
    const headers = { [selectionHeader]: endpoint(second) };
    expect(await serverOf(call(gateway.port(80), '/llama', { host, headers }))).toBe('llama-1');
  });

  test('the picker hears who served (GatewayDestinationEndpointServed)', async () => {
    const answer = await ask('/llama', second, { host });
    expect(answer.headers[servedHeader]).toBe(endpoint(second));
    expect(picker.seen.at(-1)?.served).toBe(endpoint(second));
  });

  test('a client cannot choose: neither model server nor picker sees what it says', async () => {
    const answer = echoOf(await ask('/llama', second, { host, headers: { [destinationHeader]: endpoint(first) } }));
    expect(answer.service).toBe('llama-1');
    expect(answer.headers[destinationHeader]).toBe(endpoint(second));
    expect(picker.seen.at(-1)?.headers).not.toHaveProperty(destinationHeader);
  });

  test('what leads to no pool keeps its headers, and no picker is asked', async () => {
    const before = picker.seen.length + plain.seen.length;
    const answer = echoOf(await call(gateway.port(80), '/web', { host, headers: { [destinationHeader]: 'mine' } }));
    expect(answer).toMatchObject({ service: 'web', headers: { [destinationHeader]: 'mine' } });
    expect(picker.seen.length + plain.seen.length).toBe(before);
  });

  test('by weight across two pools, each with its own picker (GatewayWeightedAcrossTwoInferencePools)', async () => {
    const before = { picker: picker.seen.length, plain: plain.seen.length };
    // Both pickers are told the endpoints of both pools: only those of its own can be chosen.
    const servers = await Promise.all(Array.from({ length: 200 }, () => serverOf(ask('/weighted', `${first},127.0.0.21`, { host }))));
    const share = servers.filter((s) => s === 'llama-0').length / servers.length;
    expect(share).toBeGreaterThan(0.55);
    expect(share).toBeLessThan(0.85);
    expect(new Set(servers)).toEqual(new Set(['llama-0', 'other']));
    expect(picker.seen.length - before.picker).toBe(servers.filter((s) => s === 'llama-0').length);
    expect(plain.seen.length - before.plain).toBe(servers.filter((s) => s === 'other').length);
  });

  test('by weight with a Service, for which nobody is asked', async () => {
    const before = picker.seen.length;
    const servers = await Promise.all(Array.from({ length: 60 }, () => serverOf(ask('/half', second, { host }))));
    expect(new Set(servers)).toEqual(new Set(['llama-1', 'web']));
    expect(picker.seen.length - before).toBe(servers.filter((s) => s === 'llama-1').length);
  });

  test('a picker that refuses is the answer', async () => {
    expect(await ask('/llama', first, { host, headers: { 'test-epp-answer': 'shed' } })).toMatchObject({ status: 429, body: 'shed' });
    expect(await call(gateway.port(80), '/llama', { host })).toMatchObject({ status: 503, body: 'no endpoint' });
  });

  test('a request that a policy refuses is not shown to the picker', async () => {
    await ask('/limited', first, { host });
    const before = picker.seen.length;
    expect((await ask('/limited', first, { host })).status).toBe(429);
    expect(picker.seen.length).toBe(before);
  });

  test('large bodies pass whole, both ways', async () => {
    const body = 'x'.repeat(3_000_000);
    expect((await ask('/llama', first, { host, body })).status).toBe(200);
    expect(picker.seen.at(-1)?.body.length).toBe(body.length);
  });

  test('each target port of a Pod is an endpoint (GatewayFollowingEPPRoutingWithDataParallelism)', async () => {
    expect(await serverOf(ask('/ranks', endpoint(second, ports[1]), { host }))).toBe('rank-1');
    expect(await serverOf(ask('/ranks', endpoint(second, ports[0]), { host }))).toBe('llama-1');
    expect(await serverOf(ask('/ranks', endpoint(third, ports[1]), { host }))).toBe('rank-2');
  });

  test('appProtocol (InferencePoolAppProtocol)', async () => {
    expect(echoOf(await ask('/h2c', '127.0.0.31', { host }))).toMatchObject({ service: 'h2c', version: '2.0' });
    expect(echoOf(await ask('/llama', first, { host })).version).toBe('1.1');
  });
});

test('the picker is asked over TLS: unverified, verified by a BackendTLSPolicy, or in plain text', async () => {
  expect(await serverOf(ask('/verified', second))).toBe('llama-1');
  expect(verified.seen.length).toBeGreaterThan(0);
  expect(await serverOf(ask('/plain', third))).toBe('llama-2');
  expect((await ask('/untrusted', first)).status).toBe(503);
});

test('the next endpoint of the list is for the retry', async () => {
  const [dead = 0] = await freePorts(1);
  const retrying = `{ retry: { attempts: 2, backoff: 1ms }, backendRefs: [${poolRef('half-dead')}] }`;
  const pool = poolOf('half-dead', { ports: [ports[0], dead], picker: 'picker', app: 'llama' });
  await gateway.write('retries.yaml', pool + routeOf('retries', ['retries.example.com'], [retrying]));
  const host = 'retries.example.com';
  await eventually('it serves', async () => (await ask('/', second, { host })).status === 200);
  const answer = await ask('/', `${endpoint(first, dead)},${second}`, { host });
  expect(echoOf(answer).service).toBe('llama-1');
  expect(answer.headers[servedHeader]).toBe(endpoint(second));
  await gateway.remove('retries.yaml');
});

test('an answer comes through as it is made, over any time', async () => {
  let proceed: () => void = () => {};
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200).write('data: 1\n\n');
    proceed = () => response.end('data: 2\n\n');
  });
  await new Promise<void>((resolve) => server.listen(ports[0], '127.0.0.41', resolve));
  closing.push({ close: () => server.closeAllConnections() }, server);
  const host = 'streaming.example.com';
  const pool = poolOf('streaming', { ports: [ports[0]], picker: 'picker' }) + podOf('streaming', 'streaming', '127.0.0.41');
  await gateway.write('streaming.yaml', pool + routeOf('streaming', [host], [rule('/', poolRef('streaming'))]));
  await eventually('it is routed', async () => (await call(gateway.port(80), '/', { host })).status === 503);
  const chunks: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const headers = { host, [selectionHeader]: endpoint('127.0.0.41') };
    const r = httpRequest({ port: gateway.port(80), path: '/', method: 'POST', headers, agent: false }, (response) => {
      response.setEncoding('utf8').on('data', (text: string) => {
        chunks.push(text);
        if (chunks.length === 1) proceed();
      });
      response.on('end', resolve);
    });
    r.on('error', reject).end('prompt');
  });
  expect(chunks).toEqual(['data: 1\n\n', 'data: 2\n\n']);
  await gateway.remove('streaming.yaml');
});

test('a Pod that is not ready is no endpoint; another address than one of the pool never is', async () => {
  await gateway.write('llama.yaml', llamaPods(false));
  await eventually('the Pod is out', async () => (await serverOf(ask('/llama', second))) !== 'llama-1');
  const before = llama[1]?.seen.length;
  await Promise.all(Array.from({ length: 20 }, () => serverOf(ask('/llama', second))));
  expect(llama[1]?.seen.length).toBe(before);
  expect(await serverOf(ask('/llama', '127.0.0.21'))).toMatch(/^llama-/);
  await gateway.write('llama.yaml', llamaPods(true));
  await eventually('the Pod is back', async () => (await serverOf(ask('/llama', second))) === 'llama-1');
});

test('rules lead to different pools; the port of a backendRef says nothing (HTTPRouteMultipleRulesDifferentPools, InferencePoolHTTPRoutePortValidation)', async () => {
  expect(await serverOf(ask('/other', '127.0.0.21'))).toBe('other');
  expect(await serverOf(ask('/matching-port', second))).toBe('llama-1');
});

test('statuses of pools (InferencePoolAccepted, InferencePoolInvalidEPPService, InferencePoolMissingEPPRef)', async () => {
  expect(conditionsOf('InferencePool default/llama')).toEqual({ gw: ['Accepted=True Accepted', 'ResolvedRefs=True ResolvedRefs'] });
  expect(conditionsOf('InferencePool default/missing-service')).toEqual({
    gw: ['Accepted=True Accepted', 'ResolvedRefs=False InvalidExtensionRef'],
  });
  expect(conditionsOf('InferencePool default/no-picker')).toEqual({
    gw: ['Accepted=False EndpointPickerRefMissing', 'ResolvedRefs=True ResolvedRefs'],
  });
  expect((await ask('/missing-service', first)).status).toBe(500);
  expect((await ask('/no-picker', first)).status).toBe(500);
  expect((await ask('/missing', first)).status).toBe(500);
  expect(await serverOf(ask('/missing-service-open', first))).toMatch(/^llama-/);
});

test('a route to a pool that is not there (HTTPRouteInvalidInferencePoolRef)', async () => {
  await gateway.write('lost.yaml', routeOf('lost', ['lost.example.com'], [rule('/', poolRef('missing'))]));
  await eventually('the route has a status', () => conditionsOf('HTTPRoute default/lost')['gw'] !== undefined);
  expect(conditionsOf('HTTPRoute default/lost')['gw']).toEqual(
    expect.arrayContaining(['Accepted=True Accepted', 'ResolvedRefs=False BackendNotFound']),
  );
  await gateway.remove('lost.yaml');
});

test('one entry a Gateway, taken back with the last route (InferencePoolResolvedRefsCondition, HTTPRouteMultipleGatewaysDifferentPools)', async () => {
  const ok = ['Accepted=True Accepted', 'ResolvedRefs=True ResolvedRefs'];
  await gateway.write('pool.yaml', poolOf('shared', { ports: [ports[0]], picker: 'picker', app: 'llama' }));
  await gateway.write('one.yaml', routeOf('one', ['one.example.com'], [rule('/', poolRef('shared'))]));
  await gateway.write('two.yaml', routeOf('two', ['two.example.com'], [rule('/', poolRef('shared'))], '{ name: second }'));
  await eventually('both Gateways accept', () => Object.keys(conditionsOf('InferencePool default/shared')).length === 2);
  expect(conditionsOf('InferencePool default/shared')).toEqual({ gw: ok, second: ok });
  await eventually('it serves', async () => (await serverOf(ask('/', third, { host: 'one.example.com' }))) === 'llama-2');
  await gateway.remove('one.yaml');
  await eventually('one is taken back', () => conditionsOf('InferencePool default/shared')['gw'] === undefined);
  expect(conditionsOf('InferencePool default/shared')).toEqual({ second: ok });
  await eventually('nothing is served', async () => (await ask('/', third, { host: 'one.example.com' })).status === 404);
  await gateway.remove('two.yaml');
  await eventually('so is the other', () => Object.keys(conditionsOf('InferencePool default/shared')).length === 0);
});

test('GRPCRoutes lead to pools', async () => {
  await gateway.write(
    'grpc.yaml',
    `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: grpc }
spec: { parentRefs: [{ name: gw }], hostnames: [grpc.example.com], rules: [{ backendRefs: [${poolRef('h2c')}] }] }
`,
  );
  await eventually('it serves', async () => {
    const headers = { ':method': 'POST', ':path': '/a.B/C', ':authority': 'grpc.example.com', [selectionHeader]: endpoint('127.0.0.31') };
    return echoOf(await callH2c(gateway.port(80), headers)).service === 'h2c';
  });
});

// Last: it ends a picker.
test('a picker that is gone: FailOpen goes on, FailClose refuses (EppUnAvailableFailOpen)', async () => {
  expect(await serverOf(ask('/open', second))).toBe('llama-1');
  expect(await serverOf(ask('/closed', second))).toBe('llama-1');
  await mortal.close();
  // A request whose body was on its way when the first connection was refused is lost; from then on nobody waits for the picker.
  await eventually('Envoy has noticed', async () => (await ask('/open', second)).status === 200);
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask('/open', second)));
  expect(answers.map((a) => a.status)).toEqual(Array.from({ length: 30 }, () => 200));
  expect((await ask('/closed', second)).status).toBe(503);
  closing.push(await startPicker({ port: mortal.port }));
});
