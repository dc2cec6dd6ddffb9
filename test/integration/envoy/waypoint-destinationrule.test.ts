/** DestinationRules at a waypoint, through a real Envoy. */
import { createServer as createHttpsServer } from 'node:https';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, startBackend } from '../backend.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { waypointClient, waypointGateway } from '../waypoint.ts';

const machine = machineAddress();
let gateway: LocalGateway;
const backends: Backend[] = [];
let secure: Server;
const client = waypointClient(() => gateway.port(15_088), '10.96.2.1');
const { get } = client;

const rule = (host: string, trafficPolicy: string): string => `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: rule }
spec: { host: ${host}, trafficPolicy: ${trafficPolicy} }
`;

beforeAll(async () => {
  for (const name of ['a', 'b', 'c']) backends.push(await startBackend(name, { address: machine }));
  const certificate = await createCertificate(['api.example.com'], Date.now());
  secure = createHttpsServer({ cert: certificate.certificate, key: certificate.privateKey }, (request, response) =>
    response.end((request.socket as TLSSocket & { readonly servername: string }).servername),
  );
  await new Promise<void>((resolve) => secure.listen(0, machine, resolve));
  const endpoints = backends.map((b) => `{ address: ${machine}, locality: region/${b.name}, ports: { http: ${b.port} } }`).join(', ');
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway,
      'entries.yaml': `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: many, labels: { istio.io/use-waypoint: gw } }
spec: { hosts: [many.example.com], addresses: [10.96.2.1], resolution: STATIC, ports: [{ number: 80, name: http, protocol: HTTP }], endpoints: [${endpoints}] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api, labels: { istio.io/use-waypoint: gw } }
spec:
  hosts: [api.example.com]
  addresses: [10.96.2.2]
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${(secure.address() as AddressInfo).port} }]
  endpoints: [{ address: ${machine} }]
`,
    },
    [15_088],
    { placeOf: () => ({ zone: 'b' }) },
  );
  await eventually('the waypoint serves', async () => (await get('/')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  for (const backend of backends) backend.close();
  secure.close();
});

test('consistent hashing keeps the requests of a user at one endpoint', async () => {
  const reached = async (headers: Readonly<Record<string, string>>) => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => get('/', { headers })));
    return new Set(answers.map((a) => echoOf(a).service));
  };
  expect((await reached({ 'x-user': 'one' })).size).toBe(3);
  await gateway.write('rule.yaml', rule('many.example.com', '{ loadBalancer: { consistentHash: { httpHeaderName: x-user } } }'));
  await eventually('the rule holds', async () => (await reached({ 'x-user': 'one' })).size === 1);
  const places = new Set<string>();
  for (let user = 0; user < 30; user++) for (const place of await reached({ 'x-user': `user ${user}` })) places.add(place);
  expect(places.size).toBe(3);
  await gateway.remove('rule.yaml');
  await eventually('the rule is gone', async () => (await reached({ 'x-user': 'one' })).size === 3);
});

test('the own zone comes first, and an endpoint that fails gets no requests for a while', async () => {
  const policy = '{ outlierDetection: { consecutive5xxErrors: 2, interval: 0.1s, baseEjectionTime: 60s, maxEjectionPercent: 100 } }';
  await gateway.write('rule.yaml', rule('many.example.com', policy));
  await eventually('the own zone is first', async () => echoOf(await get('/')).service === 'b' && echoOf(await get('/')).service === 'b');
  await eventually('all are out', async () => (await get('/status/503')).headers['x-out'] === undefined);
  await gateway.remove('rule.yaml');
  await eventually('all are back', async () => (await get('/')).status === 200);
});

test('TLS begins at the waypoint, with the name of the host, and its certificate is verified', async () => {
  const address = '10.96.2.2';
  await gateway.write('rule.yaml', rule('api.example.com', '{ tls: { mode: SIMPLE, insecureSkipVerify: true } }'));
  await eventually('the rule holds', async () => (await get('/', { address })).body === 'api.example.com');
  await gateway.write('rule.yaml', rule('api.example.com', '{ tls: { mode: SIMPLE } }'));
  await eventually('nobody has signed it', async () => (await get('/', { address })).status === 503);
  await gateway.remove('rule.yaml');
});

test('what has no effect is said', async () => {
  await gateway.write('rule.yaml', rule('many.example.com', '{ loadBalancer: { simple: RANDOM, warmup: { duration: 10s } } }'));
  await eventually('it is told', () =>
    JSON.stringify(gateway.status('DestinationRule default/rule')).includes('spec.trafficPolicy.loadBalancer.warmup'),
  );
  expect((await get('/')).status).toBe(200);
  await gateway.remove('rule.yaml');
});
