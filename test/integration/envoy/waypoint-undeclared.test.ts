/** Ports of Services that do not say what they speak, behind a waypoint with a real Envoy: the first bytes of a connection decide. */
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCertificate } from '../../../src/cmd/xds-certificate.ts';
import { detectionTimeoutMs } from '../../../src/xds/translate/waypoint-detect.ts';
import { type Backend, startBackend } from '../backend.ts';
import { type L4Backend, startTcpBackend } from '../l4.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';
import { type Destination, waypointClient, waypointGateway, waypointService } from '../waypoint.ts';

let gateway: LocalGateway;
let web: Backend;
let grpc: Backend;
let mail: L4Backend;
let secure: L4Backend;
const vip = '10.96.2.1';
const client = waypointClient(() => gateway.port(15_088), vip);
const { get } = client;

/** Of the Service `mixed`: no port says anything, save the last two. */
const ports = { web: 7000, grpc: 7001, mail: 7002, secure: 7003, declaredMail: 7004, declaredWeb: 7005 } as const;

const spiffe = (namespace: string): string => `spiffe://cluster.local/ns/${namespace}/sa/client`;

/** Adds a header to answers, which only what is taken as HTTP gets. */
const marked = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: marked }
spec:
  parentRefs: [{ group: '', kind: Service, name: mixed }]
  rules:
    - matches: [{ path: { value: /marked } }]
      filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-marked, value: 'yes' }] } }]
      backendRefs: [{ name: mixed, port: ${ports.web} }]
`;

const policy = (spec: string): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy }
spec: { targetRefs: [{ kind: Service, name: mixed }], ${spec} }
`;

/** What the other side says first, or `closed`; and after how many milliseconds. */
async function greeting(to: Destination): Promise<{ readonly said: string; readonly ms: number }> {
  const asked = performance.now();
  const socket = await client.dial(to);
  const said = await heard(socket);
  socket.destroy();
  return { said, ms: performance.now() - asked };
}

function heard(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('data', (data: Buffer) => resolve(data.toString()));
    socket.once('close', () => resolve('closed'));
    socket.once('error', () => resolve('closed'));
    if (socket.destroyed) resolve('closed');
  });
}

/** What comes back for these bytes; with `pause`, the client is silent for so many milliseconds first. */
async function answer(to: Destination, bytes: string, pause = 0): Promise<string> {
  const socket = await client.dial(to);
  const answered = heard(socket);
  if (pause > 0) await Promise.race([answered, new Promise((resolve) => void setTimeout(resolve, pause))]);
  socket.write(bytes);
  const said = await answered;
  socket.destroy();
  return said;
}

/** Whether a line comes back that the client sends once it has heard the greeting. */
async function echoes(to: Destination): Promise<boolean> {
  const socket = await client.dial(to);
  await heard(socket);
  const echoed = heard(socket);
  socket.write('hello\n');
  const said = await echoed;
  socket.destroy();
  return said === 'hello\n';
}

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: mixed\r\nconnection: close\r\n\r\n`;
const silent = detectionTimeoutMs * 3;

beforeAll(async () => {
  web = await startBackend('web');
  grpc = await startBackend('grpc', { h2c: true });
  mail = await startTcpBackend('220 mail');
  secure = await startTcpBackend('secure', await createCertificate(['secure.example.com'], Date.now()));
  const named = Object.entries({ ...ports, declaredMail: 0, declaredWeb: 0 });
  const backends = { web, grpc, mail, secure, declaredMail: mail, declaredWeb: web };
  const nameOf = (name: string): string => ({ declaredMail: 'tcp-mail', declaredWeb: 'http-web' })[name] ?? name;
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway,
      'services.yaml': waypointService(
        'mixed',
        [vip],
        Object.entries(ports)
          .map(([name, port]) => `{ name: ${nameOf(name)}, port: ${port} }`)
          .join(', '),
        named.map(([name]) => `{ name: ${nameOf(name)}, port: ${backends[name as keyof typeof backends].port} }`).join(', '),
      ),
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await get('/', { port: ports.web }).catch(() => undefined))?.status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  client.close();
  await gateway.stop();
  for (const backend of [web, grpc, mail, secure]) backend.close();
});

describe('a connection', () => {
  test('that begins with HTTP/1.1 is HTTP: it gets what only a proxy that reads requests adds', async () => {
    const { headers, version } = echoOf(await get('/', { port: ports.web })) as { headers: object; version?: string };
    expect(headers).toHaveProperty('x-request-id');
    expect(headers).toMatchObject({ 'x-forwarded-for': '10.1.2.3' });
    expect(headers).not.toHaveProperty('x-kgateway-scope');
    expect(version).toBe('1.1');
  });

  test('that begins with HTTP/2 is HTTP/2 to the backend as well', async () => {
    const socket = await client.dial({ port: ports.grpc });
    const over = connectHttp2('http://mixed', { createConnection: () => socket });
    const body = await new Promise<string>((resolve, reject) => {
      over.on('error', reject);
      const stream = over.request({ ':path': '/two' });
      let text = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      stream.on('error', reject).on('end', () => resolve(text));
    });
    over.destroy();
    expect(JSON.parse(body)).toMatchObject({ service: 'grpc', path: '/two', version: '2.0' });
    expect(JSON.parse(body)).toHaveProperty('headers.x-request-id');
  });

  test('to a server that speaks first hears it after a moment, and without one where the port says that it is TCP', async () => {
    const undeclared = await greeting({ port: ports.mail });
    expect(undeclared.said).toBe('220 mail\n');
    expect(undeclared.ms).toBeGreaterThanOrEqual(detectionTimeoutMs - 1);
    expect(undeclared.ms).toBeLessThan(detectionTimeoutMs + 1000);
    // The machine may be slow now and then, but not each time.
    const declared = await Promise.all(Array.from({ length: 5 }, () => greeting({ port: ports.declaredMail })));
    expect(Math.min(...declared.map((d) => d.ms))).toBeLessThan(detectionTimeoutMs);
  });

  test('that begins with TLS passes as it is', async () => {
    const socket = await client.dial({ port: ports.secure });
    const tls = connectTls({ socket, servername: 'secure.example.com', rejectUnauthorized: false });
    expect(await heard(tls)).toBe('secure\n');
    tls.destroy();
  });

  test('on which the client is silent at first is TCP from then on, and reaches the Service', async () => {
    const said = await answer({ port: ports.web }, request('/late'), silent);
    expect(said).toContain('200 OK');
    expect(said).not.toContain('x-request-id');
  });

  test('on which the client is silent is HTTP all the same where the port says so', async () => {
    expect(await answer({ port: ports.declaredWeb }, request('/late'), silent)).toContain('x-request-id');
  });
});

describe('a route of the Service', () => {
  test('that names no port holds for what turns out to be HTTP', async () => {
    await gateway.write('route.yaml', marked);
    await eventually('it holds', async () => (await get('/marked', { port: ports.web })).headers['x-marked'] === 'yes');
    expect(JSON.stringify(gateway.status('HTTPRoute default/marked'))).toContain('Successfully accepted Route');
    expect((await get('/else', { port: ports.web })).status).toBe(404);
    expect((await get('/marked', { port: ports.declaredWeb })).headers['x-marked']).toBe('yes');
    expect((await greeting({ port: ports.mail })).said).toBe('220 mail\n');
    await gateway.remove('route.yaml');
    await eventually('it is gone', async () => (await get('/else', { port: ports.web })).status === 200);
  });

  test('that names the port says that it speaks HTTP, however late its client speaks', async () => {
    await gateway.write('route.yaml', marked.replace('name: mixed }]', `name: mixed, port: ${ports.web} }]`));
    await eventually('it holds', async () => (await get('/marked', { port: ports.web })).headers['x-marked'] === 'yes');
    await eventually('it speaks HTTP', async () => (await answer({ port: ports.web }, request('/marked'), silent)).includes('x-marked'));
    await gateway.remove('route.yaml');
    await eventually('it is gone', async () => (await get('/else', { port: ports.web })).status === 200);
  });

  test('for TCP says that it speaks TCP: nothing is found out', async () => {
    await gateway.write(
      'route.yaml',
      `---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: { name: tcp }
spec:
  parentRefs: [{ group: '', kind: Service, name: mixed, port: ${ports.mail} }]
  rules: [{ backendRefs: [{ name: mixed, port: ${ports.declaredMail} }] }]
`,
    );
    await eventually('it holds', async () => (await greeting({ port: ports.mail })).ms < detectionTimeoutMs);
    await gateway.remove('route.yaml');
    await eventually('it is gone', async () => (await greeting({ port: ports.mail })).ms >= detectionTimeoutMs - 1);
  });
});

describe('an AuthorizationPolicy', () => {
  const write = async (spec: string, holds: () => Promise<boolean>): Promise<void> => {
    await gateway.write('policy.yaml', policy(spec));
    await eventually('the policy holds', holds);
  };
  const remove = async (): Promise<void> => {
    await gateway.remove('policy.yaml');
    await eventually('the policy is gone', async () => (await get('/admin', { port: ports.web })).status === 200);
    await eventually('for TCP, too', async () => (await answer({ port: ports.web }, request('/'), silent)).includes('200 OK'));
  };
  const at = { port: ports.web } as const;

  test('about clients holds for HTTP, TCP and TLS', async () => {
    await write("action: DENY, rules: [{ from: [{ source: { namespaces: ['bad'] } }] }]", async () => {
      return (await get('/', { ...at, principal: spiffe('bad') })).status === 403;
    });
    const bad = { principal: spiffe('bad') };
    const good = { principal: spiffe('good') };
    // A client that shares its process with the controller may be silent for a while.
    await eventually('others are let in', async () => (await get('/', { ...at, ...good }).catch(() => undefined))?.status === 200);
    // Rules are asked about a connection once its client speaks.
    await eventually('TCP is closed', async () => !(await echoes({ port: ports.mail, ...bad })));
    expect(await echoes({ port: ports.mail, ...good })).toBe(true);
    const hello = '\x16\x03\x01\x00\x05';
    expect(await answer({ port: ports.secure, ...bad }, hello)).toBe('closed');
    await remove();
  });

  test('about requests denies what it cannot see: DENY', async () => {
    await write("action: DENY, rules: [{ to: [{ operation: { paths: ['/admin'] } }] }]", async () => {
      return (await get('/admin', at)).status === 403;
    });
    await eventually('other paths are open', async () => (await get('/', at).catch(() => undefined))?.status === 200);
    // Silent, no HTTP that the proxy knows, half of a request: all of it is TCP, where the rule holds without the path.
    await eventually('TCP is closed', async () => (await answer(at, request('/admin'), silent)) === 'closed');
    expect(await answer(at, `\r\n${request('/admin')}`)).not.toContain('200 OK');
    expect(await answer(at, `\0${request('/admin')}`)).toBe('closed');
    expect(await answer(at, 'SESAME open\r\n')).toBe('closed');
    const half = await client.dial(at);
    const said = heard(half);
    half.write('GE');
    await new Promise((resolve) => void setTimeout(resolve, silent));
    half.write('T /admin HTTP/1.1\r\nhost: mixed\r\n\r\n');
    expect(await said).toBe('closed');
    await remove();
  });

  test('about requests denies what it cannot see: ALLOW', async () => {
    await write("action: ALLOW, rules: [{ to: [{ operation: { methods: ['GET'], paths: ['/public'] } }] }]", async () => {
      return (await get('/admin', at)).status === 403;
    });
    await eventually('it lets in', async () => (await get('/public', at).catch(() => undefined))?.status === 200);
    await eventually('TCP is closed', async () => (await answer(at, request('/public'), silent)) === 'closed');
    await remove();
  });
});

describe('telemetry', () => {
  const counted = async (metric: string): Promise<string[]> => {
    const { body } = await call(gateway.adminPort, '/stats/prometheus');
    return body.split('\n').filter((line) => line.includes(metric) && line.includes('mixed.default.svc.cluster.local'));
  };

  test('tells requests from connections, and each once', async () => {
    await get('/', { port: ports.web });
    await eventually('requests are counted', async () => (await counted('istio_requests_total{')).length > 0);
    await greeting({ port: ports.mail });
    await eventually('connections are counted', async () => (await counted('istio_tcp_connections_opened_total{')).length > 0);
    const tcp = await counted('istio_tcp_connections_opened_total{');
    expect(tcp.every((line) => line.includes('request_protocol="tcp"'))).toBe(true);
  });
});

test('Services without declarations come and go while connections stay open', async () => {
  const http = await client.dial({ port: ports.web });
  const tcp = await client.dial({ port: ports.mail });
  expect(await heard(tcp)).toBe('220 mail\n');
  const alive = async (): Promise<readonly boolean[]> => {
    const [one, two] = [heard(http), heard(tcp)];
    http.write('GET / HTTP/1.1\r\nhost: mixed\r\n\r\n');
    tcp.write('still here\n');
    return [(await one).includes('200 OK'), (await two).includes('still here')];
  };
  const updates = async (): Promise<readonly [modified: number, inPlace: number]> => {
    const { body } = await call(gateway.adminPort, '/stats?filter=listener_manager.listener_(modified|in_place_updated)&format=json');
    const all = (JSON.parse(body) as { stats: { name: string; value: number }[] }).stats;
    const one = (name: string): number => all.find((s) => s.name.endsWith(name))?.value ?? 0;
    return [one('listener_modified'), one('listener_in_place_updated')];
  };
  expect(await alive()).toEqual([true, true]);
  const [modified, inPlace] = await updates();
  const more = { address: '10.96.2.2', port: 8000 };
  for (let round = 0; round < 2; round++) {
    await gateway.write('more.yaml', waypointService('more', [more.address], `{ port: ${more.port} }`, `{ port: ${web.port} }`));
    await eventually('it serves', async () => (await get('/', more)).status === 200);
    await eventually('over TCP too', async () => (await answer(more, request('/'), silent)).includes('200 OK'));
    expect(await alive()).toEqual([true, true]);
    await gateway.remove('more.yaml');
    await eventually('it is gone', async () => (await get('/', more)).status === 404);
    expect(await alive()).toEqual([true, true]);
  }
  const [modifiedAfter, inPlaceAfter] = await updates();
  expect(modifiedAfter).toBeGreaterThan(modified);
  expect(modifiedAfter - modified).toBe(inPlaceAfter - inPlace);
});
