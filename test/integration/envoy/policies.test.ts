/** What policies do to requests: the same on exact hosts, whose scope is their own, as on wildcard hosts, which are found by falling back. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type Call, type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';
import { freePorts } from '../ports.ts';

let gateway: LocalGateway;
let one: Backend;
const hosts = [
  'exact.example.com',
  'any.wild.example.com',
  'EXACT.example.com',
  'Any.wild.example.com.',
  'partial.wild.example.com',
] as const;
/** Hosts that share the routes of another one, and so its buckets: an upper-case one, a trailing dot, one that falls back to its wildcard. */
const alike: ReadonlySet<string> = new Set(hosts.slice(2));

const cors = (fields: string): string => `{ type: CORS, cors: { ${fields} } }`;
const policy = (name: string): string =>
  `{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: TrafficPolicy, name: ${name} } }`;
const at = (value: string): string => `{ path: { value: '${value}' } }`;
const backend = 'backendRefs: [{ name: one, port: 80 }]';

const rules = [
  ruleOf(at('/limited'), policy('limit')),
  ruleOf(at('/buffered'), policy('buffer')),
  ruleOf(at('/policy-headers'), policy('headers')),
  ruleOf(
    at('/cors'),
    cors(
      `allowOrigins: ['https://www.foo.com', 'https://*.bar.com'], allowMethods: [GET, OPTIONS], allowHeaders: [x-header-1, x-header-2], exposeHeaders: [x-header-3, x-header-4], allowCredentials: true, maxAge: 3600`,
    ),
  ),
  ruleOf(at('/cors-any'), cors(`allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: true`)),
  ruleOf(at('/cors-anonymous'), cors(`allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*']`)),
  ruleOf(at('/'), ''),
  `{ matches: [${at('/delay')}], timeouts: { request: 100ms }, ${backend} }`,
  `{ matches: [${at('/flaky')}], retry: { codes: [503], attempts: 2, backoff: 1ms }, ${backend} }`,
  `{ matches: [${at('/dead')}], retry: { attempts: 1, backoff: 1ms }, backendRefs: [{ name: dead, port: 80 }] }`,
  `{ matches: [${at('/delay/2000')}], timeouts: { request: 5s, backendRequest: 50ms }, retry: { attempts: 1, codes: [504], backoff: 1ms }, ${backend} }`,
];

const policies = `---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: limit }
spec: { rateLimit: { local: { tokenBucket: { maxTokens: 3, fillInterval: 3600s } } } }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: buffer }
spec: { buffer: { maxRequestSize: 1Ki } }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: headers }
spec: { headerModifiers: { request: { set: [{ name: x-protocol, value: '%PROTOCOL%' }] }, response: { add: [{ name: x-added, value: 'yes' }] } } }
`;

beforeAll(async () => {
  one = await startBackend('one');
  const [dead = 0] = await freePorts(1);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one) + serviceOf({ name: 'dead', port: dead }),
      'routes.yaml':
        routeOf('exact', ['exact.example.com'], rules) +
        routeOf('wild', ['*.wild.example.com'], rules) +
        routeOf('partial', ['partial.wild.example.com', 'bare.example.com'], [ruleOf(at('/only-this'))]),
      'policies.yaml': policies,
    },
    [80],
  );
  await eventually('Envoy serves', async () => {
    const answers = await Promise.all(hosts.map((host) => get('/', { host })));
    return answers.every((a) => a.status === 200);
  });
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = (target: string, more: Call = {}) => call(gateway.port(80), target, more);

describe.each(hosts)('%s', (host) => {
  test.skipIf(alike.has(host))('rate limit: three requests pass, then 429; others are not concerned', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await get('/limited', { host })).status);
    expect(statuses).toEqual([200, 200, 200, 429, 429, 429]);
    expect((await get('/', { host })).status).toBe(200);
  });

  test('buffer: 413 for what is larger, and only where it is asked for', async () => {
    const send = (target: string, bytes: number) => get(target, { host, method: 'POST', body: 'x'.repeat(bytes) });
    expect((await send('/buffered', 1000)).status).toBe(200);
    expect((await send('/buffered', 2000)).status).toBe(413);
    expect((await send('/', 200_000)).status).toBe(200);
  });

  test.runIf(alike.has(host))('rate limit: the bucket is that of the route, whatever the host is written like', async () => {
    expect((await get('/limited', { host })).status).toBe(429);
  });

  test('without a buffer policy a body is passed on as it comes', async () => {
    const socket = connect(gateway.port(80), '127.0.0.1');
    const path = `/stream/${host}`;
    socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 10\r\n\r\nfirst`);
    await eventually('the request arrives before its body has ended', () => one.seen.includes(path), 3000);
    socket.destroy();
  });

  test('headers of a policy may hold operators', async () => {
    const answer = await get('/policy-headers', { host });
    expect(echoOf(answer).headers['x-protocol']).toBe('HTTP/1.1');
    expect(answer.headers['x-added']).toBe('yes');
  });

  const preflight = (target: string, origin: string, method = 'GET', more: Record<string, string> = {}) =>
    get(target, { host, method: 'OPTIONS', headers: { origin, 'access-control-request-method': method, ...more } });

  test.each(['https://www.foo.com', 'https://www.bar.com', 'https://a.b.bar.com'])('CORS: preflight of %s', async (origin) => {
    const { status, headers } = await preflight('/cors', origin, 'GET', { 'access-control-request-headers': 'x-header-1, x-header-2' });
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET,OPTIONS',
      'access-control-allow-headers': 'x-header-1,x-header-2',
      'access-control-expose-headers': 'x-header-3,x-header-4',
      'access-control-max-age': '3600',
      'access-control-allow-credentials': 'true',
    });
  });

  test.each([
    'https://foobar.com',
    'https://bar.com',
    'http://www.foo.com',
    'https://www.foo.com:444',
    'https://www.bar.com.evil.com',
    'null',
  ])('CORS: preflight of %s is answered, allows no origin and reaches no backend', async (origin) => {
    const path = `/cors/${host}/${origin.replaceAll(/\W/g, '')}`;
    const { status, headers } = await preflight(path, origin);
    expect(status).toBe(200);
    expect(headers).not.toHaveProperty('access-control-allow-origin');
    expect(one.seen).not.toContain(path);
  });

  test('CORS: a plain request passes, with headers for allowed origins only', async () => {
    const allowed = await get('/cors', { host, headers: { origin: 'https://www.foo.com' } });
    expect(allowed.headers).toMatchObject({
      'access-control-allow-origin': 'https://www.foo.com',
      'access-control-allow-credentials': 'true',
    });
    const other = await get('/cors', { host, headers: { origin: 'https://foobar.com' } });
    expect(other.status).toBe(200);
    expect(other.headers).not.toHaveProperty('access-control-allow-origin');
  });

  test('CORS: wildcards with credentials become what was asked for', async () => {
    const { headers } = await preflight('/cors-any', 'https://other.foo.com', 'PUT', {
      'access-control-request-headers': 'x-header-1, x-header-2',
    });
    expect(headers).toMatchObject({
      'access-control-allow-origin': 'https://other.foo.com',
      'access-control-allow-methods': 'PUT',
      'access-control-allow-credentials': 'true',
    });
    expect(headers['access-control-allow-headers']?.replaceAll(' ', '')).toBe('x-header-1,x-header-2');
  });

  test('CORS: wildcards without credentials', async () => {
    const { headers } = await preflight('/cors-anonymous', 'https://other.foo.com:12345', 'PUT', {
      'access-control-request-headers': 'x-h',
    });
    expect(['https://other.foo.com:12345', '*']).toContain(headers['access-control-allow-origin']);
    expect(['PUT', '*']).toContain(headers['access-control-allow-methods']);
    expect(['x-h', '*']).toContain(headers['access-control-allow-headers']);
    expect(headers).not.toHaveProperty('access-control-allow-credentials');
  });

  test('OPTIONS without an origin goes to the backend', async () => {
    expect(echoOf(await get('/cors', { host, method: 'OPTIONS' })).method).toBe('OPTIONS');
  });

  test('a request that takes longer than its timeout gets 504', async () => {
    expect((await get('/delay/1000', { host })).status).toBe(504);
    expect((await get('/delay/1', { host })).status).toBe(200);
  });

  test('headers that steer Envoy are not taken from clients', async () => {
    const headers = {
      'x-envoy-upstream-rq-timeout-ms': '1',
      'x-envoy-retry-on': '5xx',
      'x-envoy-max-retries': '5',
      'x-envoy-original-path': '/other',
    };
    expect((await get('/delay/20', { host, headers })).status).toBe(200);
    const path = `/status/503/${host}`;
    expect((await get(path, { host, headers })).status).toBe(503);
    expect(one.seen.filter((p) => p === path)).toHaveLength(1);
  });

  test('each attempt has its own timeout', async () => {
    const path = `/delay/2000/${host}`;
    expect((await get(path, { host })).status).toBe(504);
    expect(one.seen.filter((p) => p === path)).toHaveLength(2);
  });

  test('503 is retried as often as asked for', async () => {
    const id = host.replaceAll('.', '-');
    expect((await get(`/flaky/${id}-a/2`, { host })).status).toBe(200);
    expect((await get(`/flaky/${id}-b/3`, { host })).status).toBe(503);
    expect(one.seen.filter((p) => p === `/flaky/${id}-b/3`)).toHaveLength(3);
  });

  test('nobody there: 503', async () => {
    expect((await get('/dead', { host })).status).toBe(503);
  });

  test('a WebSocket is upgraded, and bytes go both ways', async () => {
    const socket = connect(gateway.port(80), '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => (received += text));
    socket.write(
      `GET /ws HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await eventually('it is upgraded', () => received.startsWith('HTTP/1.1 101'));
    socket.write('ping-pong');
    await eventually('bytes come back', () => received.endsWith('ping-pong'));
    socket.destroy();
  });
});

test.each(['unknown.example.com', 'bare.example.com', 'BARE.example.com'])(
  'a body that leads nowhere is not waited for: %s',
  async (host) => {
    const socket = connect(gateway.port(80), '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => (received += text));
    socket.write(`POST /no-route HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 10\r\n\r\nfirst`);
    await eventually('it is answered before its body has ended', () => received.startsWith('HTTP/1.1 404'), 3000);
    socket.destroy();
  },
);
