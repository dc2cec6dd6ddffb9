/** Backends of kgateway through a real Envoy: by address, by name, over HTTP/2 and TLS, from every kind of route, with and without a grant. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type XdsCertificate, createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, api, gatewayOf, objectOf, routeOf, startBackend } from '../backend.ts';
import { caMapOf } from '../certificates.ts';
import { type L4Backend, reached, startTcpBackend } from '../l4.ts';
import { type LocalGateway, call, callH2c, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';

const ports = { http: 80, tcp: 9000 };

/** Loopback is refused: a Backend must not lead into the proxy itself. */
const address = machineAddress();

let gateway: LocalGateway;
let secure: ReturnType<typeof createServer>;
let certificate: XdsCertificate;
let tcp: L4Backend;
const web: Record<string, Backend> = {};

const backend = (name: string, spec: string, namespace = 'default'): string =>
  objectOf(api.kgateway, 'Backend', name, spec, `namespace: ${namespace}`);
const staticBackend = (name: string, port: number, { host = address, more = '', namespace = 'default' } = {}): string =>
  backend(name, `static: { hosts: [{ host: '${host}', port: ${port} }]${more} }`, namespace);
const ref = (name: string, more = ''): string => `{ group: gateway.kgateway.dev, kind: Backend, name: ${name}${more} }`;
const rule = (path: string, backends: string, filters = ''): string =>
  `{ matches: [{ path: { value: ${path} } }], backendRefs: [${backends}]${filters && `, filters: [${filters}]`} }`;

const grant = `---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: grant, namespace: other }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default }]
  to: [{ group: gateway.kgateway.dev, kind: Backend }]
`;

beforeAll(async () => {
  certificate = await createCertificate(['secure.example.com'], Date.now());
  for (const name of ['plain', 'named', 'other', 'mirror', 'changed']) web[name] = await startBackend(name, { address: '0.0.0.0' });
  web['grpc'] = await startBackend('grpc', { address: '0.0.0.0', h2c: true });
  tcp = await startTcpBackend('tcp', undefined, address);
  secure = createServer({ key: certificate.privateKey, cert: certificate.certificate }, (request, response) => {
    response.end(JSON.stringify({ service: 'secure', path: request.url }));
  });
  await new Promise<void>((resolve) => secure.listen(0, '0.0.0.0', resolve));
  const port = (name: string): number => web[name]?.port ?? 0;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf(`{ name: http, protocol: HTTP, port: ${ports.http} }`, `{ name: tcp, protocol: TCP, port: ${ports.tcp} }`),
      'backends.yaml':
        staticBackend('plain', port('plain')) +
        staticBackend('named', port('named'), { host: hostname() }) +
        staticBackend('grpc', port('grpc'), { more: ', appProtocol: grpc' }) +
        staticBackend('undeclared', port('grpc')) +
        staticBackend('other', port('other'), { namespace: 'other' }) +
        staticBackend('mirror', port('mirror')) +
        staticBackend('tcp', tcp.port) +
        staticBackend('secure', (secure.address() as AddressInfo).port) +
        staticBackend('proxy', 15_000, { host: '127.0.0.1' }) +
        backend('later', 'gcp: { host: run.example.com }'),
      'tls.yaml': `${caMapOf('ca', certificate.ca)}---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: { name: secure }
spec:
  targetRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: secure }]
  validation: { hostname: secure.example.com, caCertificateRefs: [{ group: '', kind: ConfigMap, name: ca }] }
`,
      'routes.yaml':
        routeOf(
          'web',
          ['a.example.com'],
          [
            rule('/plain', ref('plain')),
            rule('/named', ref('named')),
            rule('/h2', ref('grpc')),
            rule('/secure', ref('secure')),
            rule('/other', ref('other', ', namespace: other')),
            rule('/half', `${ref('plain')}, ${ref('gone')}`),
            rule('/proxy', ref('proxy')),
            rule('/later', ref('later')),
            rule('/port', ref('plain', `, port: ${port('plain')}`)),
            rule('/mirrored', ref('plain'), `{ type: RequestMirror, requestMirror: { backendRef: ${ref('mirror')} } }`),
          ],
        ) +
        `---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: grpc }
spec:
  parentRefs: [{ name: gw, sectionName: http }]
  hostnames: [grpc.example.com]
  rules: [{ backendRefs: [${ref('undeclared')}] }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: { name: tcp }
spec:
  parentRefs: [{ name: gw, sectionName: tcp }]
  rules: [{ backendRefs: [${ref('tcp')}] }]
`,
    },
    Object.values(ports),
  );
  await eventually('Envoy serves', async () => (await get('/plain')).status === 200 && (await get('/secure')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  for (const b of [...Object.values(web), tcp, secure]) b.close();
});

const get = (path: string) => call(gateway.port(ports.http), path);
const conditionsOf = (object: string): string => JSON.stringify(gateway.status(object));

test.each([
  ['/plain', 'plain', '1.1'],
  ['/named', 'named', '1.1'],
  ['/h2', 'grpc', '2.0'],
])('%s goes to %s over HTTP/%s', async (path, service, version) => {
  await eventually('the name is resolved', async () => (await get(path)).status === 200);
  expect(echoOf(await get(path))).toMatchObject({ service, version });
});

test('TLS as a BackendTLSPolicy says', async () => {
  expect(JSON.parse((await get('/secure')).body)).toEqual({ service: 'secure', path: '/secure' });
});

test('a GRPCRoute speaks HTTP/2 to a Backend that says nothing', async () => {
  const answer = await callH2c(gateway.port(ports.http), {
    ':path': '/a.Service/Get',
    ':authority': 'grpc.example.com',
    ':method': 'POST',
  });
  expect(echoOf(answer)).toMatchObject({ service: 'grpc', version: '2.0' });
});

test('a TCPRoute leads to a Backend', async () => {
  await eventually('connections arrive', async () => (await reached(gateway.port(ports.tcp))) === 'tcp');
});

test('a mirror gets a copy', async () => {
  await get('/mirrored?copy');
  await eventually('the copy arrives', () => web['mirror']?.seen.includes('/mirrored?copy'));
});

test('the share of a missing Backend is answered with 500', async () => {
  const answers = await Promise.all(Array.from({ length: 40 }, () => get('/half')));
  expect(new Set(answers.map((a) => a.status))).toEqual(new Set([200, 500]));
});

test('a Backend does not lead into the proxy', async () => {
  expect((await get('/proxy')).status).toBe(500);
  expect(conditionsOf('Backend default/proxy')).toMatch(/"status":"False","reason":"Invalid","message":"Backend error: .*loopback/);
});

test('a Backend of a type that is not served, and a port in the reference, are answered with 500 and said', async () => {
  expect((await get('/later')).status).toBe(500);
  expect((await get('/port')).status).toBe(500);
  expect(conditionsOf('Backend default/later')).toContain('spec.gcp: not supported');
  expect(conditionsOf('HTTPRoute default/web')).toContain('Do not specify a port');
});

test('another namespace takes a ReferenceGrant, and loses with it', async () => {
  expect((await get('/other')).status).toBe(500);
  await gateway.write('grant.yaml', grant);
  await eventually('the grant counts', async () => (await get('/other')).status === 200);
  expect(echoOf(await get('/other')).service).toBe('other');
  await gateway.remove('grant.yaml');
  await eventually('it is taken back', async () => (await get('/other')).status === 500);
});

test('a change of hosts reaches the proxy', async () => {
  await gateway.write(
    'moving.yaml',
    staticBackend('moving', web['plain']?.port ?? 0) + routeOf('moving', ['m.example.com'], [rule('/', ref('moving'))]),
  );
  const moving = () => call(gateway.port(ports.http), '/', { host: 'm.example.com' });
  await eventually('it serves', async () => (await moving()).status === 200);
  await gateway.write(
    'moving.yaml',
    staticBackend('moving', web['changed']?.port ?? 0) + routeOf('moving', ['m.example.com'], [rule('/', ref('moving'))]),
  );
  await eventually('it has moved', async () => echoOf(await moving()).service === 'changed');
});
