/** ServiceEntries behind a waypoint whose destination is what clients ask for, and those with several hosts or addresses. */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type Server, createServer } from 'node:net';
import { type TLSSocket, createServer as createTlsServer, connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { type Backend, startBackend } from '../backend.ts';
import { createAuthority } from '../certificates.ts';
import { type DnsServer, startDnsServer } from '../dns.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { machineAddress } from '../machine.ts';
import { waypointClient, waypointGateway } from '../waypoint.ts';

/** An address of this machine that is not loopback, where a proxy leads nobody. */
const machine = machineAddress();
/** Connections go around ztunnel by a mark, which takes the right to set it. */
const mayMark = process.getuid?.() === 0;

const identity = 'spiffe://cluster.local/ns/a/sa/b';

let gateway: LocalGateway;
let dns: DnsServer;
let one: Backend;
let two: Backend;
const servers: Server[] = [];
let httpPort = 0;
let tcpPort = 0;
let tlsPort = 0;
let rangePort = 0;
const client = waypointClient(() => gateway.port(15_088), '240.240.0.1');
const { get } = client;

const entry = (name: string, spec: string, status = ''): string => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, labels: { istio.io/use-waypoint: gw } }
spec: ${spec}${status && `\nstatus: ${status}`}
`;

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, machine, resolve));
  return (server.address() as { port: number }).port;
}

/** What a connection is greeted with, or `closed`. */
async function greeting(address: string, port: number, servername?: string): Promise<string> {
  const socket = await client.dial({ address, port });
  const stream = servername === undefined ? socket : connectTls({ socket, servername, rejectUnauthorized: false });
  return new Promise((resolve) => {
    stream.on('error', () => {});
    stream.once('data', (data: Buffer) => resolve(data.toString().trim()));
    stream.once('close', () => resolve('closed'));
  });
}

beforeAll(async () => {
  one = await startBackend('one', { address: machine });
  two = await startBackend('two', { address: machine });
  const certificate = await createCertificate(['a.tls.example.com'], Date.now());
  httpPort = await listen(createHttpServer((request, response) => response.end(`here ${request.headers.host}`)));
  rangePort = await listen(createHttpServer((_request, response) => response.end('in range')));
  const authority = await createAuthority('servers');
  const { certificate: cert, privateKey: key } = await authority.issue('server', 'server', {
    dns: ['a.secure.example.com'],
    uris: [identity],
  });
  const secure = await listen(
    createHttpsServer({ cert, key }, (request, response) =>
      response.end(`secure ${(request.socket as TLSSocket & { readonly servername: string }).servername}`),
    ),
  );
  tcpPort = await listen(createServer((socket) => socket.on('error', () => {}).write('tcp here\n')));
  tlsPort = await listen(
    createTlsServer({ cert: certificate.certificate, key: certificate.privateKey }, (socket) =>
      socket.on('error', () => {}).write('tls here\n'),
    ),
  );
  dns = await startDnsServer((name) => (name === 'loop.example.com' ? '127.0.0.1' : name.endsWith('.example.com') ? machine : undefined));
  const endpoint = (backend: Backend, name = 'http'): string => `{ address: ${machine}, ports: { ${name}: ${backend.port} } }`;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway,
      'ca.yaml': `{ apiVersion: v1, kind: Secret, metadata: { name: ca }, data: { ca.crt: ${Buffer.from(authority.pem).toString('base64')} } }`,
      'entries.yaml':
        entry(
          'dual',
          `{ hosts: [dual.example.com], addresses: [240.240.0.1, 'fd00::240'], resolution: STATIC, ports: [{ number: 80, name: http, protocol: HTTP }], endpoints: [${endpoint(one)}] }`,
        ) +
        entry(
          'none',
          `{ hosts: [none.example.com], addresses: ['${machine}'], ports: [{ number: ${httpPort}, name: http, protocol: HTTP }, { number: ${tcpPort}, name: tcp, protocol: TCP }] }`,
        ) +
        entry(
          'ranges',
          `{ hosts: [ranges.example.com], addresses: ['${machine}/24', 126.0.0.0/7, 240.240.1.0/24], ports: [{ number: ${rangePort}, name: http, protocol: HTTP }] }`,
        ) +
        entry(
          'within',
          `{ hosts: [within.example.com], addresses: [240.240.1.7], resolution: DNS, ports: [{ number: ${rangePort}, name: http, protocol: HTTP, targetPort: ${two.port} }], endpoints: [{ address: ${machine} }] }`,
        ) +
        entry(
          'shared',
          `{ hosts: [one.example.net, two.example.net], addresses: [240.240.0.9], resolution: DNS, ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${one.port} }], endpoints: [{ address: ${machine} }] }`,
        ) +
        entry(
          'by-name',
          `{ hosts: ['*.example.com'], addresses: [240.240.0.7], resolution: DYNAMIC_DNS, ports: [{ number: ${httpPort}, name: http, protocol: HTTP }, { number: ${tlsPort}, name: tls, protocol: TLS }] }`,
        ) +
        entry(
          'secure',
          `{ hosts: ['*.secure.example.com'], addresses: [240.240.0.10], resolution: DYNAMIC_DNS, ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${secure} }] }`,
        ) +
        entry(
          'onward',
          `{ hosts: ['*.onward.example.com'], addresses: [240.240.0.8], resolution: DYNAMIC_DNS, ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${httpPort} }, { number: 8080, name: http-alt, protocol: HTTP, targetPort: ${httpPort} }, { number: 443, name: tls, protocol: TLS, targetPort: ${tlsPort} }] }`,
        ),
    },
    [15_088],
    { dnsServer: dns },
  );
  await eventually('the waypoint serves', async () => (await get('/')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  dns.close();
  for (const backend of [one, two]) backend.close();
  for (const server of servers) server.close();
});

describe('addresses', () => {
  test('are all served, those that come late as well, and each of its host', async () => {
    expect(echoOf(await get('/', { address: 'fd00::240' })).service).toBe('one');
    const late = (status: string): string =>
      entry(
        'late',
        `{ hosts: [one.example.org, two.example.org], resolution: DNS, ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${two.port} }], endpoints: [{ address: ${machine} }] }`,
        status,
      );
    await gateway.write('late.yaml', late(''));
    expect((await get('/', { address: '240.240.0.2' })).status).toBe(404);
    await gateway.write(
      'late.yaml',
      late('{ addresses: [{ host: one.example.org, value: 240.240.0.2 }, { host: two.example.org, value: 240.240.0.3 }] }'),
    );
    for (const address of ['240.240.0.2', '240.240.0.3']) {
      await eventually(`${address} is served`, async () => echoOf(await get('/', { address })).service === 'two');
    }
    await gateway.remove('late.yaml');
    await eventually('it is gone', async () => (await get('/', { address: '240.240.0.2' })).status === 404);
  });
});

test('hosts at one address are told apart by what requests name', async () => {
  const address = '240.240.0.9';
  await gateway.write(
    'route.yaml',
    `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: two }
spec:
  parentRefs: [{ group: networking.istio.io, kind: Hostname, name: two.example.net, port: 80 }]
  rules: [{ filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 301, hostname: moved.example.net } }] }]
`,
  );
  await eventually('the route holds', async () => (await get('/', { address, host: 'two.example.net' })).status === 301);
  expect(echoOf(await get('/', { address, host: 'one.example.net' })).service).toBe('one');
  expect(echoOf(await get('/', { address, host: 'other.example.net' })).service).toBe('one');
  await gateway.remove('route.yaml');
});

describe('resolution NONE', () => {
  test.skipIf(!mayMark)('leads where the client dialled, over HTTP and TCP', async () => {
    const answer = await get('/', { address: machine, port: httpPort, host: 'whatever' });
    expect(answer).toMatchObject({ status: 200, body: 'here whatever' });
    expect(await greeting(machine, tcpPort)).toBe('tcp here');
  });

  test.skipIf(!mayMark)('takes ranges of addresses, without those of the proxy itself', async () => {
    expect(await get('/', { address: machine, port: rangePort })).toMatchObject({ status: 200, body: 'in range' });
    expect(await greeting('127.0.0.1', rangePort)).toBe('closed');
    expect(echoOf(await get('/', { address: '240.240.1.7', port: rangePort })).service).toBe('two');
  });

  test('covers its own addresses and ports alone', async () => {
    expect((await get('/', { address: '192.0.2.77', port: httpPort })).status).toBe(404);
    expect((await get('/', { address: machine, port: tlsPort })).status).toBe(404);
  });
});

describe('resolution DYNAMIC_DNS', () => {
  const address = '240.240.0.7';

  test('leads to the name that the request asks for, on the port of the service', async () => {
    const host = `a.example.com:${httpPort}`;
    await eventually('the name is resolved', async () => (await get('/', { address, port: httpPort, host })).body === `here ${host}`);
  });

  test('and nowhere else', async () => {
    for (const host of ['a.example.com', `a.example.com:${tcpPort}`, `a.example.org:${httpPort}`, `${machine}:${httpPort}`]) {
      expect((await get('/', { address, port: httpPort, host })).status, host).toBe(404);
    }
    // A name of its own may lead to the proxy itself.
    expect((await get('/', { address, port: httpPort, host: `loop.example.com:${httpPort}` })).status).toBe(503);
  });

  test('leads to another port behind the name, if the service has one', async () => {
    const to = { address: '240.240.0.8', port: 80 };
    await eventually(
      'the name is resolved',
      async () => (await get('/', { ...to, host: 'a.onward.example.com' })).body === 'here a.onward.example.com',
    );
    expect((await get('/', { ...to, host: 'a.onward.example.com:80' })).body).toBe('here a.onward.example.com');
    expect((await get('/', { ...to, port: 8080, host: 'a.onward.example.com:8080' })).body).toBe('here a.onward.example.com');
    expect((await get('/', { ...to, host: 'a.example.org' })).status).toBe(404);
    expect((await get('/', { ...to, host: machine })).status).toBe(404);
    await eventually('the name is resolved', async () => (await greeting(to.address, 443, 'b.onward.example.com')) === 'tls here');
  });

  test('speaks TLS where a DestinationRule asks for it, with the name of the request unless others are given', async () => {
    const to = { address: '240.240.0.10', port: 80 };
    const rule = (tls: string): Promise<void> =>
      gateway.write(
        'rule.yaml',
        `{ apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: { name: rule }, spec: { host: '*.secure.example.com', trafficPolicy: { tls: { mode: SIMPLE${tls} } } } }`,
      );
    const answers = (host: string, expected: string | number) =>
      eventually(`${host} gets ${expected}`, async () => {
        const { status, body } = await get('/', { ...to, host });
        return [status, body].includes(expected) || Promise.reject(new Error(`${status} ${body}`));
      });
    await rule(', credentialName: ca');
    await answers('a.secure.example.com', 'secure a.secure.example.com');
    await answers('b.secure.example.com', 503);
    await rule(', insecureSkipVerify: true');
    await answers('b.secure.example.com', 'secure b.secure.example.com');
    await rule(`, credentialName: ca, subjectAltNames: ['${identity}']`);
    await answers('c.secure.example.com', 'secure c.secure.example.com');
    await rule(', credentialName: ca, subjectAltNames: [wrong.example.com]');
    await answers('a.secure.example.com', 503);
    await rule(', credentialName: ca, sni: z.example.com, subjectAltNames: [a.secure.example.com]');
    await answers('a.secure.example.com', 'secure z.example.com');
    await gateway.remove('rule.yaml');
  });

  test('of TLS goes by the server name', async () => {
    await eventually('the name is resolved', async () => (await greeting(address, tlsPort, 'a.tls.example.com')) === 'tls here');
    expect(await greeting(address, tlsPort, 'a.tls.example.org')).toBe('closed');
  });
});
