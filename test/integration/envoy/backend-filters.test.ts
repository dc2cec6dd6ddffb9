/** Filters of backendRefs through a real Envoy: each holds for the share of its backend, and for no other. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;

const ref = (name: string, weight: number, filter = ''): string =>
  `{ name: ${name}, port: 80, weight: ${weight}${filter && `, filters: [${filter}]`} }`;
const rule = (path: string, refs: readonly string[], more = ''): string =>
  `{ matches: [{ path: { value: ${path} } }], ${more}backendRefs: [${refs.join(', ')}] }`;
const rewrite = (path: string, hostname = ''): string =>
  `{ type: URLRewrite, urlRewrite: { ${hostname && `hostname: ${hostname}, `}path: { ${path} } } }`;
const away = `{ type: RequestRedirect, requestRedirect: { hostname: new.example.com, path: { type: ReplacePrefixMatch, replacePrefixMatch: /new }, statusCode: 301 } }`;
const mirror = `{ type: RequestMirror, requestMirror: { backendRef: { name: two, port: 80 } } }`;

const rules = [
  rule('/', [ref('one', 1)]),
  rule('/rewrite', [
    ref('one', 50, rewrite('type: ReplacePrefixMatch, replacePrefixMatch: /a', 'a.example.org')),
    ref('two', 30, rewrite('type: ReplaceFullPath, replaceFullPath: /b')),
    ref('one', 20),
  ]),
  rule('/away', [ref('one', 3), ref('two', 1, away), ref('gone', 1, away), ref('two', 0, away)]),
  rule('/alone', [ref('one', 1, away)]),
  rule('/mirror', [ref('one', 1, mirror), ref('one', 1)]),
  rule(
    '/both',
    [ref('one', 1, rewrite('type: ReplaceFullPath, replaceFullPath: /backend'))],
    `filters: [${rewrite('type: ReplaceFullPath, replaceFullPath: /rule')}], `,
  ),
  rule('/session', [ref('one', 1, rewrite('type: ReplaceFullPath, replaceFullPath: /one')), ref('two', 1)], 'sessionPersistence: {}, '),
  rule('/cors', [ref('one', 1, '{ type: CORS, cors: {} }')]),
];

beforeAll(async () => {
  [one, two] = await Promise.all([startBackend('one'), startBackend('two')]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one) + serviceOf(two),
      'routes.yaml': routeOf('main', ['a.example.com'], rules),
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await get('/')).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const backend of [one, two]) backend.close();
});

const get = (target: string, headers: Readonly<Record<string, string>> = {}) => call(gateway.port(80), target, { headers });
type Answer = Awaited<ReturnType<typeof get>>;

/** How often each thing was seen in many requests. */
async function shares(path: string, what: (answer: Answer) => string): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < 40; i++) {
    for (const answer of await Promise.all(Array.from({ length: 25 }, () => get(path)))) {
      counts[what(answer)] = (counts[what(answer)] ?? 0) + 1;
    }
  }
  return counts;
}

/** 1,000 draws miss a share by 80 once in a million times. */
function expectShares(counts: Readonly<Record<string, number>>, expected: Readonly<Record<string, number>>): void {
  expect(Object.keys(counts).toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const [what, share] of Object.entries(expected)) expect(Math.abs((counts[what] ?? 0) - share), what).toBeLessThan(80);
}

test('URLRewrite, each share its own', async () => {
  const counts = await shares('/rewrite/x', (answer) => {
    const { service, host, path } = echoOf(answer);
    return `${service} ${host} ${path}`;
  });
  expectShares(counts, { 'one a.example.org /a/x': 500, 'two a.example.com /b': 300, 'one a.example.com /rewrite/x': 200 });
});

test('RequestRedirect of a share; an invalid backend answers 500 all the same', async () => {
  const counts = await shares('/away/x', ({ status, headers }) => `${status} ${headers['location'] ?? ''}`.trim());
  expectShares(counts, { '200': 600, '301 http://new.example.com/new/x': 200, '500': 200 });
  expect(await get('/alone/x')).toMatchObject({ status: 301, headers: { location: 'http://new.example.com/new/x' } });
});

test('RequestMirror of a share', async () => {
  const counts = await shares('/mirror', (answer) => String(answer.status));
  expect(counts).toEqual({ 200: 1000 });
  const mirrored = (): number => two.seen.filter((path) => path === '/mirror').length;
  await eventually('half is mirrored', () => Promise.resolve(mirrored() > 420));
  expect(mirrored()).toBeLessThan(580);
});

test('what a backendRef says comes before what its rule says', async () => {
  expect(echoOf(await get('/both')).path).toBe('/backend');
});

test('a session stays with the share of its backend', async () => {
  const paths = new Set<string>();
  await eventually('both shares were chosen', async () => {
    const first = await get('/session');
    const cookie = [first.headers['set-cookie'] ?? []]
      .flat()
      .map((c) => c.split(';')[0])
      .join('; ');
    const { service, path } = echoOf(first);
    for (let i = 0; i < 5; i++) expect(echoOf(await get('/session', { cookie }))).toMatchObject({ service, path });
    paths.add(`${service} ${path}`);
    return paths.size === 2;
  });
  expect([...paths].toSorted()).toEqual(['one /one', 'two /session']);
});

test('a filter that is for rules is said, and its rule answers 500', async () => {
  expect((await get('/cors')).status).toBe(500);
  const said = 'spec.rules[7].backendRefs[0].filters[0].type: filter type CORS is not supported on a backendRef; set it on the rule';
  expect(JSON.stringify(gateway.status('HTTPRoute default/main'))).toContain(said);
});
