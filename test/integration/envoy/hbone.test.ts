/**
 * A waypoint that ends HBONE itself, as ztunnel and workloads of the mesh see it: certificates of a small CA, tunnels, scopes and policies of the
 * sandwich, and tunnels of its own to workloads that take them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { type TLSSocket, connect as connectTls } from 'node:tls';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import type { Identity } from '../../../src/cmd/identity/identity.ts';
import { type CaServer, type KeyPair, type MeshCa, meshCa, serveCa } from '../../mesh/certificate-authority.ts';
import { type Arrival, TunnelRefused, openHbone, openTunnel } from '../../mesh/hbone.ts';
import { proxyHeader } from '../../mesh/proxy-header.ts';
import { type Backend, api, objectOf, startBackend } from '../backend.ts';
import { hbonePod, hboneWaypoint, hboneWorkload, startAgent } from '../hbone.ts';
import { type L4Backend, startTcpBackend } from '../l4.ts';
import { type LocalGateway, echoOf, eventually, problemsDuring, startLocalGateway } from '../local.ts';
import { fileAccessLog, meshConfigMap, waypointService as service } from '../waypoint.ts';
import { heard, requestOver } from '../waypoint-client.ts';

const vip = '10.96.0.1';
/** Workloads of the mesh: their Pods' addresses. */
const [workloadAddress, impostorAddress] = ['127.0.78.1', '127.0.78.2'] as const;
const spiffe = (namespace: string, account: string, domain = 'cluster.local'): string => `spiffe://${domain}/ns/${namespace}/sa/${account}`;

let gateway: LocalGateway;
let folder: string;
let ca: MeshCa;
let authority: CaServer;
let agent: Identity;
let lifetimeSeconds = 3600;
let longestSeconds = Infinity;
let plain: Backend;
let behind: Backend;
let greeter: Server;
let secure: L4Backend;
const problems: string[] = [];
const workloads: (() => void)[] = [];
const arrivals: Arrival[] = [];
const sessions = new Set<ClientHttp2Session>();
let client: KeyPair;

/** A new connection to the waypoint. */
async function session(tls: Partial<KeyPair> & { readonly ca?: string } = client): Promise<ClientHttp2Session> {
  const opened = await openHbone({ host: '127.0.0.1', port: gateway.port(15_008) }, { ca: ca.root, ...tls }, [spiffe('default', 'gw')]);
  sessions.add(opened);
  return opened;
}

interface Request {
  readonly to?: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly connect?: Readonly<Record<string, string>>;
  readonly as?: KeyPair;
  readonly over?: ClientHttp2Session;
}

/** One request in a tunnel of its own. */
async function get(path: string, { to = `${vip}:80`, host = 'echo', headers = {}, connect: connectHeaders = {}, as, over }: Request = {}) {
  const own = over ? undefined : await session(as);
  const tunnel = await openTunnel((over ?? own) as ClientHttp2Session, to, connectHeaders);
  const answer = await requestOver(tunnel, path, { host, headers });
  own?.close();
  return answer;
}

const route = (name: string, parent: string, rules: string, namespace = 'default'): string =>
  objectOf(api.gateway, 'HTTPRoute', name, `parentRefs: [${parent}], rules: [${rules}]`, `namespace: ${namespace}`);

const policy = (name: string, spec: string): string => objectOf(api.security, 'AuthorizationPolicy', name, spec);

const echoPort = "{ group: '', kind: Service, name: echo, namespace: default, port: 8080 }";
const redirect =
  '{ type: RequestRedirect, requestRedirect: { statusCode: 301, path: { type: ReplaceFullPath, replaceFullPath: /yours } } }';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kgateway-hbone-'));
  ca = await meshCa();
  authority = await serveCa(ca, { lifetimeSeconds: granted, longestSeconds: () => longestSeconds });
  client = await ca.issue(spiffe('client', 'client'));
  agent = await startAgent(folder, ca, authority, (error) => problems.push(String(error)));

  plain = await startBackend('plain');
  behind = await startBackend('behind');
  for (const [address, account] of [
    [workloadAddress, 'worker'],
    [impostorAddress, 'somebody'],
  ] as const) {
    const tls = { ...(await ca.issue(spiffe('default', account))), ca: ca.root };
    workloads.push(await hboneWorkload(address, tls, behind.port, (arrival) => arrivals.push(arrival)));
  }
  greeter = createServer((socket) => socket.on('error', () => {}).end('220 ready\r\n'));
  await new Promise<void>((resolve) => greeter.listen(0, '127.0.0.1', resolve));
  secure = await startTcpBackend('secure', await createCertificate(['secure.example.com'], Date.now()));
  const smtp = (greeter.address() as { port: number }).port;

  gateway = await startLocalGateway(
    {
      'gateway.yaml': hboneWaypoint(),
      'services.yaml':
        service(
          'echo',
          [vip, 'fd00::1'],
          '{ name: http, port: 80 }, { name: http-alt, port: 8080 }, { name: smtp, port: 25 }, { name: tls, port: 443 }, { name: any, port: 7000 }, { name: more, port: 7001 }',
          `{ name: http, port: ${plain.port} }, { name: http-alt, port: ${plain.port} }, { name: smtp, port: ${smtp} }, { name: tls, port: ${secure.port} }, { name: any, port: ${plain.port} }, { name: more, port: ${smtp} }`,
        ) +
        service(
          'mesh',
          ['10.96.0.2'],
          '{ name: http, port: 80 }, { name: tcp, port: 90 }',
          '{ name: http, port: 8000 }, { name: tcp, port: 9000 }',
          `addresses: [${workloadAddress}]`,
        ) +
        service('impostor', ['10.96.0.3'], '{ name: http, port: 80 }', '{ name: http, port: 8000 }', `addresses: [${impostorAddress}]`),
      'pods.yaml': hbonePod('worker', workloadAddress, 'worker') + hbonePod('impostor', impostorAddress, 'worker'),
      'routes.yaml': [
        route('producer', echoPort, '{ matches: [{ path: { value: /mesh } }], backendRefs: [{ name: mesh, port: 80 }] }'),
        route('consumer', echoPort, `{ matches: [{ path: { value: /mine } }], filters: [${redirect}] }`, 'client'),
      ].join(''),
    },
    [15_008],
    { identityFolder: folder },
  );
  await eventually('the waypoint serves', async () => (await get('/').catch(() => undefined))?.status === 200);
});

/** Zero: the CA refuses. */
function granted(): number {
  if (lifetimeSeconds === 0) throw new Error('no certificates today');
  return lifetimeSeconds;
}

afterAll(async () => {
  for (const open of sessions) open.destroy();
  await gateway.stop();
  await agent.stop();
  authority.stop();
  for (const stop of workloads) stop();
  plain.close();
  behind.close();
  greeter.close();
  secure.close();
  rmSync(folder, { recursive: true, force: true });
  expect(gateway.rejections()).toEqual([]);
});

describe('requests', () => {
  test('go to the Service whose address the tunnel is for, whatever host they name', async () => {
    expect(echoOf(await get('/a', { host: 'mesh' }))).toMatchObject({ service: 'plain', path: '/a', host: 'mesh' });
    expect(echoOf(await get('/', { to: '[fd00::1]:80' })).service).toBe('plain');
  });

  test('of many tunnels on one connection keep apart, and each tunnel is for one address', async () => {
    const over = await session();
    const answers = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => echoOf(await get(`/${i}`, { over, to: i % 2 ? `${vip}:80` : '10.96.0.2:80' })).service),
    );
    expect(answers).toEqual(Array.from({ length: 40 }, (_, i) => (i % 2 ? 'plain' : 'behind')));
  });

  test('carry nothing of how we find routes', async () => {
    const { headers } = echoOf(await get('/', { headers: { 'x-kgateway-scope': '10.96.0.2|80' } }));
    expect(headers).not.toHaveProperty('x-kgateway-scope');
    expect(headers).not.toHaveProperty('x-forwarded-client-cert');
  });

  test('follow routes of the Service; those of another namespace hold for clients with an identity of that namespace', async () => {
    const other = await ca.issue(spiffe('other', 'client'));
    expect(echoOf(await get('/mesh', { to: `${vip}:8080`, as: other })).service).toBe('behind');
    expect((await get('/else', { to: `${vip}:8080`, as: other })).status).toBe(404);
    expect(await get('/mine', { to: `${vip}:8080` })).toMatchObject({ status: 301, headers: { location: 'http://echo:8080/yours' } });
  });

  test('for an address or port that is not served get 404, and a name gets it for the tunnel itself', async () => {
    expect((await get('/', { to: '10.96.0.77:80' })).status).toBe(404);
    expect((await get('/', { to: `${vip}:81` })).status).toBe(404);
    expect((await get('/', { to: `127.0.0.1:${gateway.adminPort}` })).status).toBe(404);
    const over = await session();
    await expect(openTunnel(over, 'echo.default.svc.cluster.local:80')).rejects.toEqual(new TunnelRefused(404));
    expect(await statusOf(over, { ':method': 'GET', ':path': '/', ':authority': `${vip}:80`, ':scheme': 'https' })).toBe(404);
  });
});

describe('connections', () => {
  const refused = (tls: Partial<KeyPair> & { readonly ca?: string }) => expect(session(tls)).rejects.toThrow();

  test('without a certificate, with one of another CA, of another trust domain or one that has ended are refused', async () => {
    const foreign = await meshCa('foreign');
    await refused({ cert: undefined as never, key: undefined as never });
    await refused(await foreign.issue(spiffe('client', 'client')));
    await refused(await ca.issue(spiffe('client', 'client', 'example.com')));
    await refused(await ca.issue(spiffe('client', 'client', 'cluster.local.example.com')));
    await refused(await ca.issue(spiffe('client', 'client'), -30));
    expect((await get('/')).status).toBe(200);
  });

  test('in plain text are refused, with a PROXY header as well', async () => {
    const said = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(gateway.port(15_008), '127.0.0.1', () => {
        const header = { source: { address: '10.1.2.3', port: 1 }, destination: { address: vip, port: 80 }, principal: spiffe('a', 'b') };
        socket.write(Buffer.concat([proxyHeader(header), Buffer.from('GET / HTTP/1.1\r\nhost: echo\r\n\r\n')]));
      });
      socket.on('data', (data) => (text += data.toString('latin1'))).on('error', () => {});
      socket.on('close', () => resolve(text));
    });
    expect(said).not.toContain('HTTP/');
  });

  test('to a protocol in which the server speaks first are not held up', async () => {
    const over = await session();
    expect(await heard(await openTunnel(over, `${vip}:25`))).toBe('220 ready\r\n');
  });

  test('to a port that does not say what it speaks tell it by their first bytes', async () => {
    const { service: name, headers } = echoOf(await get('/', { to: `${vip}:7000` }));
    expect(name).toBe('plain');
    expect(headers).toHaveProperty('x-request-id');
    const over = await session();
    const tunnel = await openTunnel(over, `${vip}:7001`);
    expect(await new Promise((resolve) => tunnel.once('data', (data: Buffer) => resolve(data.toString())))).toBe('220 ready\r\n');
    tunnel.destroy();
  });
});

describe('workloads of the mesh', () => {
  test('are reached by a tunnel with the identity of the waypoint', async () => {
    expect(echoOf(await get('/', { to: '10.96.0.2:80' })).service).toBe('behind');
    // Requests share tunnels, so this one may have come through an earlier one.
    expect(arrivals.find((a) => a.authority === `${workloadAddress}:8000`)?.peer).toBe(spiffe('default', 'gw'));
    const over = await session();
    const tunnel = await openTunnel(over, '10.96.0.2:90');
    tunnel.write('GET /tcp HTTP/1.1\r\nhost: tcp\r\nconnection: close\r\n\r\n');
    expect(await new Promise((resolve) => tunnel.once('data', (data: Buffer) => resolve(data.toString())))).toContain('"path":"/tcp"');
    tunnel.destroy();
    expect(arrivals.at(-1)).toMatchObject({ authority: `${workloadAddress}:9000` });
  });

  test('that show another identity than that of their Pod get no request', async () => {
    arrivals.length = 0;
    expect((await get('/', { to: '10.96.0.3:80' })).status).toBe(503);
    expect(arrivals).toEqual([]);
  });

  test('are expected under the identity that their Pod has by now, and others lose no request', async () => {
    const found = await problemsDuring(
      () => get('/'),
      async () => {
        await gateway.write('pods.yaml', hbonePod('worker', workloadAddress, 'worker') + hbonePod('impostor', impostorAddress, 'somebody'));
        await eventually('its own identity is expected', async () => echoOf(await get('/', { to: '10.96.0.3:80' })).service === 'behind');
      },
    );
    expect(found).toEqual([]);
  });
});

describe('an AuthorizationPolicy', () => {
  const target = 'targetRefs: [{ kind: Service, name: echo }]';

  test('decides by the identity of the certificate, over HTTP and TCP', async () => {
    const bad = await ca.issue(spiffe('bad', 'client'));
    await gateway.write('policy.yaml', policy('deny', `${target}, action: DENY, rules: [{ from: [{ source: { namespaces: [bad] } }] }]`));
    await eventually('the policy holds', async () => (await get('/', { as: bad })).status === 403);
    const [asBad, asGood] = [await session(bad), await session()];
    const statuses = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => (await get('/', { over: i % 2 ? asBad : asGood })).status),
    );
    expect(statuses).toEqual(Array.from({ length: 60 }, (_, i) => (i % 2 ? 403 : 200)));
    expect((await get('/', { as: bad, to: '10.96.0.2:80' })).status).toBe(200);
    const greeting = async (as: KeyPair) => heard(await openTunnel(await session(as), `${vip}:25`));
    await eventually('the TCP port is closed', async () => (await greeting(bad)) === '');
    expect(await greeting(client)).toBe('220 ready\r\n');
    await gateway.remove('policy.yaml');
    await eventually('the policy is gone', async () => (await get('/', { as: bad })).status === 200);
  });

  test('stands before TLSRoutes, with the identity of each client', async () => {
    const bad = await ca.issue(spiffe('bad', 'client'));
    const tlsRoute = `---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: { name: by-name }
spec:
  parentRefs: [{ group: '', kind: Service, name: echo, port: 443 }]
  hostnames: [secure.example.com]
  rules: [{ backendRefs: [{ name: echo, port: 443 }] }]
`;
    const reached = async (over: ClientHttp2Session): Promise<string> => {
      const socket = (await openTunnel(over, `${vip}:443`)) as Socket;
      const stream = connectTls({ socket, servername: 'secure.example.com', rejectUnauthorized: false });
      return new Promise((resolve) => {
        stream.on('error', () => {});
        stream.once('data', (data: Buffer) => resolve(data.toString().split('\n')[0] ?? ''));
        stream.once('close', () => resolve('closed'));
      });
    };
    const [asBad, asGood] = [await session(bad), await session()];
    await gateway.write('tls.yaml', tlsRoute);
    await eventually('the route serves', async () => (await reached(asGood)) === 'secure');
    await gateway.write('policy.yaml', policy('deny', `${target}, action: DENY, rules: [{ from: [{ source: { namespaces: [bad] } }] }]`));
    await eventually('the policy holds', async () => (await reached(asBad)) === 'closed');
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => reached(i % 2 ? asBad : asGood)));
    expect(all).toEqual(Array.from({ length: 40 }, (_, i) => (i % 2 ? 'closed' : 'secure')));
    await gateway.remove('policy.yaml');
    await gateway.remove('tls.yaml');
  });

  test('by address means the peer of the connection, whatever a CONNECT says', async () => {
    const from = (ip: string) => policy('deny', `${target}, action: DENY, rules: [{ from: [{ source: { ipBlocks: ['${ip}'] } }] }]`);
    await gateway.write('policy.yaml', from('127.0.0.1'));
    await eventually('the policy holds', async () => (await get('/')).status === 403);
    await gateway.write('policy.yaml', from('203.0.113.9'));
    await eventually('it holds for another address', async () => (await get('/')).status === 200);
    expect((await get('/', { connect: { 'x-forwarded-for': '203.0.113.9' } })).status).toBe(200);
    await gateway.remove('policy.yaml');
  });
});

test('what a client says about itself on a CONNECT is there for access logs and metrics', async () => {
  const log = join(folder, 'access.log');
  const states = ['baggage', 'forwarded', 'traceparent'].map((name) => `%FILTER_STATE(io.kgateway.connect.${name}:PLAIN)%`);
  const format = `text: '%REQ(:PATH)% ${states.join(' ')} %FILTER_STATE(io.istio.peer_principal:PLAIN)%'`;
  const telemetry = 'accessLogging: [{ providers: [{ name: lines }] }]';
  await gateway.write(
    'mesh.yaml',
    meshConfigMap(`extensionProviders: [${fileAccessLog('lines', log, format)}]`) +
      objectOf('telemetry.istio.io/v1', 'Telemetry', 'all', telemetry, 'namespace: istio-system'),
  );
  const said = { baggage: 'k8s.namespace.name=web,k8s.deployment.name=shop', forwarded: 'for=10.1.2.3', traceparent: '00-1-2-01' };
  await eventually('it is logged', async () => {
    await get('/logged', { connect: said });
    return readFileSync(log, 'utf8').includes(`/logged ${Object.values(said).join(' ')} ${spiffe('client', 'client')}`);
  });
  await eventually('its Deployment is in the metrics', async () => {
    const text = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/stats/prometheus?usedonly`)).text();
    return /istio_requests_total\{.*source_workload="shop",source_workload_namespace="client".*source_app="client"/.test(text);
  });
});

test('certificates are renewed many times under traffic without a request lost', async () => {
  const before = authority.issued();
  const [held, usual] = [await session(), lifetimeSeconds];
  const shown = (over: ClientHttp2Session): string => (over.socket as TLSSocket).getPeerCertificate().fingerprint256;
  lifetimeSeconds = 6;
  const found = await problemsDuring(
    async () => {
      await get('/', { over: held });
      return get('/', { to: '10.96.0.2:80' });
    },
    async () => {
      // New CAs wake the agent; the short life keeps it awake.
      writeFileSync(join(folder, 'root-cert.pem'), `${ca.root}\n`);
      await eventually('several certificates were issued', () => authority.issued() >= before + 4, 60_000);
    },
  );
  lifetimeSeconds = usual;
  expect(found).toEqual([]);
  expect(shown(await session())).not.toBe(shown(held));
  expect(problems).toEqual([]);
});

test('while the CA is away the certificate stays in use, and is renewed when it is back', async () => {
  const usual = lifetimeSeconds;
  lifetimeSeconds = 0;
  writeFileSync(join(folder, 'root-cert.pem'), `${ca.root}\n\n`);
  await eventually('the agent has tried', () => problems.length > 0);
  expect((await get('/')).status).toBe(200);
  const before = authority.issued();
  lifetimeSeconds = usual;
  await eventually('the agent has a new one', () => authority.issued() > before);
  expect((await get('/')).status).toBe(200);
});

test('a CA that grants less than is asked for decides how long', async () => {
  longestSeconds = 600;
  problems.length = 0;
  const before = authority.issued();
  writeFileSync(join(folder, 'root-cert.pem'), `\n${ca.root}`);
  await eventually('the agent has a new one', () => authority.issued() > before);
  expect(problems).toEqual([]);
  longestSeconds = Infinity;
});

/** Status of a request that is no tunnel. */
function statusOf(over: ClientHttp2Session, headers: Readonly<Record<string, string>>): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = over.request(headers);
    stream.on('response', (answer) => resolve(Number(answer[':status'])));
    stream.on('error', reject);
    stream.resume();
  });
}
