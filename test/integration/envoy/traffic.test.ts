/** Requests through a real Envoy go where the routes say, and look as they say when they arrive. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type Call, type LocalGateway, call, callH2c, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;
let grpc: Backend;

const path = (value: string, type = 'PathPrefix'): string => `{ path: { type: ${type}, value: '${value}' } }`;
const prefixRewrite = (to: string): string =>
  `{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: '${to}' } } }`;
const redirect = (fields: string): string => `{ type: RequestRedirect, requestRedirect: { ${fields} } }`;
const redirectRule = (at: string, fields: string): string => `{ matches: [${path(at)}], filters: [${redirect(fields)}] }`;

const rules = [
  ruleOf(path('/'), '', 'one'),
  ruleOf(path('/one')),
  ruleOf(path('/one', 'Exact'), '', 'two'),
  ruleOf(path('/[a-z]+/regex', 'RegularExpression'), '', 'two'),
  ruleOf(`{ path: { value: /match }, headers: [{ name: X-To, value: two }] }`, '', 'two'),
  ruleOf(`{ path: { value: /match }, method: POST }`, '', 'two'),
  ruleOf(`{ path: { value: /match }, queryParams: [{ name: to, type: RegularExpression, value: 't.o' }] }`, '', 'two'),
  ruleOf(
    path('/headers'),
    `{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-Set, value: '100%' }, { name: X-Op, value: '%PROTOCOL%' }], add: [{ name: X-Add, value: second }], remove: [X-Remove] } },
     { type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: X-Out, value: set }], add: [{ name: X-New, value: new }], remove: [X-Private] } }`,
  ),
  ruleOf(path('/host'), `{ type: URLRewrite, urlRewrite: { hostname: in.example.com } }`),
  `{ matches: [${path('/backend-host')}], backendRefs: [{ name: one, port: 80, filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: Host, value: b.example.com }] } }] }] }`,
  `{ matches: [${path('/split')}], backendRefs: [{ name: one, port: 80, weight: 90 }, { name: two, port: 80, weight: 10 }] }`,
  `{ matches: [${path('/half')}], backendRefs: [{ name: one, port: 80 }, { name: gone, port: 80 }] }`,
  `{ matches: [${path('/nothing')}] }`,
  ruleOf(path('/h2c'), '', 'grpc'),
  ruleOf(path('/full'), `{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: '/new\\1' } } }`),
  ruleOf(path('/p1'), prefixRewrite('/xyz')),
  ruleOf(path('/p2'), prefixRewrite('/xyz/')),
  ruleOf(path('/p3/'), prefixRewrite('/xyz')),
  ruleOf(path('/p4/'), prefixRewrite('/xyz/')),
  ruleOf(path('/p5'), prefixRewrite('')),
  ruleOf(path('/p6'), prefixRewrite('/')),
  ruleOf(
    path('/mirror'),
    `{ type: RequestMirror, requestMirror: { backendRef: { name: two, port: 80 } } }, { type: RequestMirror, requestMirror: { backendRef: { name: grpc, port: 80 } } }`,
  ),
  redirectRule('/r/full', `path: { type: ReplaceFullPath, replaceFullPath: /new }, statusCode: 301`),
  redirectRule('/r/prefix', `path: { type: ReplacePrefixMatch, replacePrefixMatch: /new }`),
  redirectRule('/r/root', `path: { type: ReplacePrefixMatch, replacePrefixMatch: / }`),
  redirectRule('/r/host', `hostname: new.example.com, statusCode: 303`),
  redirectRule('/r/https', `scheme: https, statusCode: 307`),
  redirectRule('/r/port', `port: 8443, scheme: https, statusCode: 308`),
  redirectRule('/r/default-port', `port: 443, scheme: https, hostname: new.example.com`),
];

beforeAll(async () => {
  [one, two, grpc] = await Promise.all([startBackend('one'), startBackend('two'), startBackend('grpc', { h2c: true })]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }', '{ name: alt, protocol: HTTP, port: 8080 }'),
      'backends.yaml': serviceOf(one) + serviceOf(two) + serviceOf(grpc, ', appProtocol: kubernetes.io/h2c'),
      'routes.yaml':
        routeOf('main', ['a.example.com'], rules.slice(0, 15)) + routeOf('more', ['a.example.com', '*.example.org'], rules.slice(15)),
    },
    [80, 8080],
  );
  await eventually(
    'Envoy serves',
    async () => (await get('/')).status === 200 && (await get('/p1', { host: 'x.example.org' })).status === 200,
  );
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  for (const backend of [one, two, grpc]) backend.close();
});

const get = (target: string, more: Call = {}, port = 80) => call(gateway.port(port), target, more);
const arrived = async (target: string, more: Call = {}) => echoOf(await get(target, more));

describe('matches', () => {
  test.each([
    ['/', {}, 'one'],
    ['/one/two', {}, 'one'],
    ['/one', {}, 'two'],
    ['/one?q=1', {}, 'two'],
    ['/onetwo', {}, 'one'],
    ['/abc/regex', {}, 'two'],
    ['/abc/regex/more', {}, 'one'],
    ['/match', {}, 'one'],
    ['/match', { headers: { 'x-to': 'two' } }, 'two'],
    ['/match', { headers: { 'x-to': 'Two' } }, 'one'],
    ['/match', { method: 'POST' }, 'two'],
    ['/match?to=two', {}, 'two'],
    ['/match?to=twoo', {}, 'one'],
    // Normalized before anything matches.
    ['/x/../one', {}, 'two'],
    ['//one', {}, 'two'],
  ] as const)('%s %j goes to %s', async (target, more, service) => {
    expect((await arrived(target, more)).service).toBe(service);
  });

  test('an unknown host, and a path without a rule of its host, get 404', async () => {
    expect((await get('/', { host: 'unknown.example.com' })).status).toBe(404);
    expect((await get('/no-rule', { host: 'x.example.org' })).status).toBe(404);
  });
});

describe('hosts', () => {
  test.each(['a.example.com', 'a.example.com:80', 'a.example.com:12345', 'A.Example.COM', 'a.example.com.', 'A.example.com.:8080'])(
    '%s',
    async (host) => {
      expect((await arrived('/', { host })).service).toBe('one');
    },
  );

  test.each(['x.example.org', 'X.Example.ORG', 'x.example.org:81', 'deep.x.example.org', 'x.example.org.'])(
    'wildcard: %s',
    async (host) => {
      expect((await arrived('/p1', { host })).path).toBe('/xyz');
    },
  );

  test('the wildcard does not cover the domain itself', async () => {
    expect((await get('/p1', { host: 'example.org' })).status).toBe(404);
  });

  test.each(['*', '[::1]:80', '::1', 'a.example.com.evil.org', 'http-80:a.example.com', ':80', 'a.example.com%00', 'a/b'])(
    'odd: %s',
    async (host) => {
      expect([400, 404]).toContain((await get('/', { host })).status);
    },
  );

  test('the absolute form of the request line overrides Host', async () => {
    expect((await arrived('http://a.example.com/one', { host: 'x.example.org' })).service).toBe('two');
  });

  test('the authority of HTTP/2', async () => {
    const answer = await callH2c(gateway.port(80), { ':authority': 'a.example.com', ':path': '/one' });
    expect(echoOf(answer)).toMatchObject({ service: 'two', host: 'a.example.com' });
    expect(echoOf(await callH2c(gateway.port(80), { ':authority': 'q.example.org:80', ':path': '/p1/z' })).path).toBe('/xyz/z');
  });

  test.each([
    ['one value', 'http-80:x.example.org'],
    ['a value of another listener', 'http-8080:a.example.com'],
    ['two values', ['http-80:x.example.org', 'http-80:*']],
    ['nonsense', '::::'],
  ])('the scope header of a client means nothing and goes no further: %s', async (_name, value) => {
    const echo = await arrived('/one', { headers: { 'x-kgateway-scope': value } });
    expect(echo.service).toBe('two');
    expect(Object.keys(echo.headers)).not.toContain('x-kgateway-scope');
    const wild = await arrived('/p1', { host: 'x.example.org', headers: { 'x-kgateway-scope': value } });
    expect(Object.keys(wild.headers)).not.toContain('x-kgateway-scope');
  });
});

describe('headers', () => {
  test('of the request, as the backend sees them: percent signs are literal', async () => {
    const { headers } = await arrived('/headers', { headers: { 'x-add': 'first', 'x-remove': 'x', 'x-set': 'old' } });
    expect(headers).toMatchObject({ 'x-set': '100%', 'x-op': '%PROTOCOL%', 'x-add': 'first, second' });
    expect(headers).not.toHaveProperty('x-remove');
  });

  test('of the response', async () => {
    const { headers } = await get('/headers');
    expect(headers).toMatchObject({ 'x-out': 'set', 'x-new': 'new' });
    expect(headers).not.toHaveProperty('x-private');
  });

  test('Host, of the rule and of a backend', async () => {
    expect((await arrived('/host')).host).toBe('in.example.com');
    expect((await arrived('/backend-host')).host).toBe('b.example.com');
    expect((await arrived('/', { host: 'a.example.com:81' })).host).toBe('a.example.com:81');
  });
});

describe('rewrites', () => {
  // Gateway API: HTTPPathModifier.replacePrefixMatch, its table.
  test.each([
    ['/full/x?q=1', '/new\\1?q=1'],
    ['/p1/bar', '/xyz/bar'],
    ['/p1', '/xyz'],
    ['/p1/', '/xyz/'],
    ['/p1?q=1', '/xyz?q=1'],
    ['/p2/bar', '/xyz/bar'],
    ['/p3/bar', '/xyz/bar'],
    ['/p4/bar', '/xyz/bar'],
    ['/p5/bar', '/bar'],
    ['/p5/', '/'],
    ['/p5', '/'],
    ['/p6/', '/'],
    ['/p6', '/'],
    ['/p6/bar/?q=/p6', '/bar/?q=/p6'],
  ])('%s arrives as %s', async (target, expected) => {
    expect((await arrived(target)).path).toBe(expected);
  });
});

describe('redirects', () => {
  test.each([
    ['/r/full/x?q=1', 301, 'http://a.example.com/new?q=1'],
    ['/r/prefix/x?q=1', 302, 'http://a.example.com/new/x?q=1'],
    ['/r/root/x', 302, 'http://a.example.com/x'],
    ['/r/root', 302, 'http://a.example.com/'],
    ['/r/host/x', 303, 'http://new.example.com/r/host/x'],
    ['/r/https/x', 307, 'https://a.example.com/r/https/x'],
    ['/r/port/x', 308, 'https://a.example.com:8443/r/port/x'],
    ['/r/default-port', 302, 'https://new.example.com/r/default-port'],
  ])('port 80: %s %d %s', async (target, status, location) => {
    const answer = await get(target);
    expect([answer.status, answer.headers.location]).toEqual([status, location]);
  });

  test.each([
    ['/r/full', 'http://a.example.com:8080/new'],
    ['/r/host', 'http://new.example.com:8080/r/host'],
    ['/r/https', 'https://a.example.com/r/https'],
    ['/r/port', 'https://a.example.com:8443/r/port'],
    ['/r/default-port', 'https://new.example.com/r/default-port'],
  ])('port 8080: %s %s', async (target, location) => {
    expect((await get(target, { host: 'a.example.com:8080' }, 8080)).headers.location).toBe(location);
  });

  test('a wildcard host: the port of the Host header does not stay', async () => {
    expect((await get('/r/https', { host: 'x.example.org:80' })).headers.location).toBe('https://x.example.org/r/https');
    expect((await get('/r/https', { host: 'x.example.org:8080' }, 8080)).headers.location).toBe('https://x.example.org:443/r/https');
    expect((await get('/r/full', { host: 'x.example.org' }, 8080)).headers.location).toBe('http://x.example.org:8080/new');
  });
});

describe('backends', () => {
  test('a split of 90 to 10', async () => {
    const services = await many(2000, async () => (await arrived('/split')).service);
    const share = services.filter((s) => s === 'two').length / services.length;
    expect(share).toBeGreaterThan(0.07);
    expect(share).toBeLessThan(0.13);
  });

  test('the share of a backend that does not exist is answered with 500, and nothing else', async () => {
    const statuses = await many(400, async () => (await get('/half')).status);
    expect(new Set(statuses)).toEqual(new Set([200, 500]));
    const share = statuses.filter((s) => s === 500).length / statuses.length;
    expect(share).toBeGreaterThan(0.4);
    expect(share).toBeLessThan(0.6);
  });

  test('without backends: 500', async () => {
    expect((await get('/nothing')).status).toBe(500);
  });

  test('HTTP/2 to a backend of appProtocol h2c', async () => {
    expect(await arrived('/h2c')).toMatchObject({ service: 'grpc', version: '2.0' });
  });

  test('two mirrors get the request with its own Host', async () => {
    expect((await arrived('/mirror/unique')).service).toBe('one');
    for (const mirror of [two, grpc]) {
      await eventually('the mirror is reached', () => mirror.seen.includes('/mirror/unique'));
      expect(mirror.hosts[mirror.seen.indexOf('/mirror/unique')]).toBe('a.example.com');
    }
  });
});

/** Several at a time, all results. */
async function many<T>(count: number, once: () => Promise<T>): Promise<readonly T[]> {
  const results: T[] = [];
  const worker = async (): Promise<void> => {
    while (results.length < count) results.push(await once());
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return results;
}
