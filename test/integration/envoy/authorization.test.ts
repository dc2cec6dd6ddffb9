/** Every field and `when` key of AuthorizationPolicy, as a real Envoy decides them. What is expected is written down, not computed. */
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Authorization } from '../../../src/ir/authorization.ts';
import type { JwtAuthentication } from '../../../src/ir/jwt.ts';
import type { AuthorizationPolicySpec, AuthorizationRule } from '../../../src/kube/types/istio-security.ts';
import type { ScopeSecurity } from '../../../src/xds/filters/order.ts';
import { type AuthorizationProxy, type HttpCall, authorize, startAuthorizationProxy } from './authorization-proxy.ts';

const frontend = 'spiffe://cluster.local/ns/web/sa/frontend';
const key = Buffer.from('a key that only tests know, 32 bytes long');

function token(claims: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', kid: 'k' })}.${part(claims)}`;
  return { authorization: `Bearer ${text}.${createHmac('sha256', key).update(text).digest('base64url')}` };
}

/** Believes tokens of every issuer that are signed with the key. */
const jwt: JwtAuthentication = {
  providers: [
    {
      name: 'anybody',
      issuer: '',
      audiences: [],
      jwks: JSON.stringify({ keys: [{ kty: 'oct', kid: 'k', alg: 'HS256', k: key.toString('base64url') }] }),
      fromHeaders: [],
      fromParams: [],
      fromCookies: [],
      forward: false,
      claimHeaders: [],
      spaceDelimitedClaims: [],
    },
  ],
  origins: [],
};

/** One ALLOW rule: the requests that it lets through, and those that it does not. */
interface Row {
  readonly rule: AuthorizationRule;
  readonly yes: readonly HttpCall[];
  readonly no: readonly HttpCall[];
}

const from = (source: NonNullable<NonNullable<AuthorizationRule['from']>[0]['source']>): AuthorizationRule => ({ from: [{ source }] });
const to = (operation: NonNullable<NonNullable<AuthorizationRule['to']>[0]['operation']>): AuthorizationRule => ({ to: [{ operation }] });
const when = (conditionKey: string, ...values: readonly string[]): AuthorizationRule => ({ when: [{ key: conditionKey, values }] });
const whenNot = (conditionKey: string, ...notValues: readonly string[]): AuthorizationRule => ({
  when: [{ key: conditionKey, notValues }],
});
const ids = (...principals: readonly string[]): readonly HttpCall[] =>
  principals.map((principal) => ({ principal: `spiffe://${principal}` }));
const paths = (...all: readonly string[]): readonly HttpCall[] => all.map((path) => ({ path }));
const hosts = (...all: readonly string[]): readonly HttpCall[] => all.map((host) => ({ host }));
const tokens = (...all: readonly object[]): readonly HttpCall[] => all.map((claims) => ({ headers: token({ ...claims }) }));

const rows: Readonly<Record<string, Row>> = {
  'an empty rule': { rule: {}, yes: [{}, ...ids('x/ns/y/sa/z')], no: [] },
  'principals, exact': {
    rule: from({ principals: ['cluster.local/ns/web/sa/frontend'] }),
    yes: ids('cluster.local/ns/web/sa/frontend', 'old.domain/ns/web/sa/frontend'),
    no: [{}, ...ids('cluster.local/ns/web/sa/frontend2', 'cluster.local/ns/web/sa/fronten', 'other/ns/web/sa/frontend')],
  },
  'principals, prefix': {
    rule: from({ principals: ['cluster.local/ns/web/*'] }),
    yes: ids('cluster.local/ns/web/sa/frontend', 'old.domain/ns/web/sa/x'),
    no: ids('cluster.local/ns/web2/sa/frontend', 'other/ns/web/sa/x'),
  },
  'principals, suffix': {
    rule: from({ principals: ['*/ns/web/sa/frontend'] }),
    yes: ids('cluster.local/ns/web/sa/frontend', 'other/ns/web/sa/frontend'),
    no: [{}, ...ids('cluster.local/ns/web/sa/backend')],
  },
  'principals, present': { rule: from({ principals: ['*'] }), yes: ids('a/ns/b/sa/c'), no: [{}] },
  notPrincipals: {
    rule: from({ notPrincipals: ['cluster.local/ns/web/sa/frontend', 'other/*'] }),
    yes: [{}, ...ids('cluster.local/ns/web/sa/backend')],
    no: ids('cluster.local/ns/web/sa/frontend', 'old.domain/ns/web/sa/frontend', 'other/ns/a/sa/b'),
  },
  namespaces: {
    rule: from({ namespaces: ['web', 'a.b', 'team-*'] }),
    yes: ids('any/ns/web/sa/x', 'any/ns/a.b/sa/x', 'any/ns/team-/sa/x', 'any/ns/team-1/sa/x'),
    no: [{}, ...ids('any/ns/web2/sa/x', 'any/ns/axb/sa/x', 'any/ns/other/sa/web', 'any/ns/tea/sa/x')],
  },
  notNamespaces: { rule: from({ notNamespaces: ['web'] }), yes: [{}, ...ids('a/ns/web2/sa/x')], no: ids('a/ns/web/sa/x') },
  serviceAccounts: {
    rule: from({ serviceAccounts: ['web/frontend', 'local'] }),
    yes: ids('any/ns/web/sa/frontend', 'any/ns/demo/sa/local'),
    no: [{}, ...ids('any/ns/web/sa/local', 'any/ns/web/sa/frontend2', 'any/ns/demo/sa/frontend')],
  },
  notServiceAccounts: {
    rule: from({ notServiceAccounts: ['web/frontend'] }),
    yes: [{}, ...ids('any/ns/demo/sa/frontend')],
    no: ids('any/ns/web/sa/frontend'),
  },
  trustDomains: {
    rule: from({ trustDomains: ['one', 'two*', '*three'] }),
    yes: ids('one/ns/a/sa/b', 'two/ns/a/sa/b', 'two2/ns/a/sa/b', 'xthree/ns/a/sa/b'),
    no: [{}, ...ids('one1/ns/a/sa/b', 'xtwo/ns/a/sa/b', 'three3/ns/a/sa/b', 'x/ns/three/sa/b')],
  },
  notTrustDomains: { rule: from({ notTrustDomains: ['one'] }), yes: [{}, ...ids('two/ns/a/sa/b')], no: ids('one/ns/a/sa/b') },
  ipBlocks: {
    rule: from({ ipBlocks: ['10.1.0.0/16', '10.0.0.7'] }),
    yes: [{ source: '10.1.2.3' }, { source: '10.0.0.7' }],
    no: [{ source: '10.0.0.8' }, { source: '10.0.0.8', headers: { 'x-forwarded-for': '10.0.0.7' } }],
  },
  notIpBlocks: { rule: from({ notIpBlocks: ['10.1.0.0/16'] }), yes: [{ source: '10.2.0.1' }], no: [{ source: '10.1.0.1' }] },
  remoteIpBlocks: {
    rule: from({ remoteIpBlocks: ['192.0.2.0/24'] }),
    yes: [{ headers: { 'x-forwarded-for': '192.0.2.7' } }],
    no: [{ headers: { 'x-forwarded-for': '192.0.3.7' } }],
  },
  notRemoteIpBlocks: {
    rule: from({ notRemoteIpBlocks: ['192.0.2.0/24'] }),
    yes: [{ headers: { 'x-forwarded-for': '192.0.3.7' } }],
    no: [{ headers: { 'x-forwarded-for': '192.0.2.7' } }],
  },
  'requestPrincipals, exact': {
    rule: from({ requestPrincipals: ['https://iss.example/a/user/1'] }),
    yes: tokens({ iss: 'https://iss.example/a', sub: 'user/1' }, { iss: 'https://iss.example/a/user', sub: '1' }),
    no: [{}, ...tokens({ iss: 'https://iss.example/a', sub: 'user/12' }, { iss: 'https://iss.example/a/user/1' })],
  },
  'requestPrincipals, prefix': {
    rule: from({ requestPrincipals: ['https://iss.example/*'] }),
    yes: tokens({ iss: 'https://iss.example', sub: 'anybody' }, { iss: 'https://iss.example/deeper', sub: 'x' }),
    no: [{}, ...tokens({ iss: 'https://iss.example' }, { iss: 'https://iss.example.evil', sub: 'x' })],
  },
  'requestPrincipals, suffix': {
    rule: from({ requestPrincipals: ['*/admin'] }),
    yes: tokens({ iss: 'a', sub: 'admin' }, { iss: 'a', sub: 'b/admin' }),
    no: [{}, ...tokens({ iss: 'a', sub: 'xadmin' }, { iss: 'a/admin' })],
  },
  'requestPrincipals, present': {
    rule: from({ requestPrincipals: ['*'] }),
    yes: tokens({ iss: 'a', sub: 'b' }),
    no: [{}, ...tokens({ iss: 'a' }, { sub: 'b' })],
  },
  notRequestPrincipals: {
    rule: from({ notRequestPrincipals: ['a/b'] }),
    yes: [{}, ...tokens({ iss: 'a', sub: 'c' })],
    no: tokens({ iss: 'a', sub: 'b' }),
  },
  hosts: {
    rule: to({ hosts: ['Exact.example.com', 'pre.*', '*.suf.example.com'] }),
    yes: hosts('exact.example.com', 'EXACT.example.com', 'pre.anything', 'a.suf.example.com'),
    no: hosts('exact.example.com:8080', 'suf.example.com', 'other'),
  },
  'hosts, present': { rule: to({ hosts: ['*'] }), yes: hosts('anything'), no: [] },
  notHosts: { rule: to({ notHosts: ['a.example.com'] }), yes: hosts('b.example.com'), no: hosts('a.example.com', 'A.example.com') },
  ports: { rule: to({ ports: ['8080', '81'] }), yes: [{}, { port: 81 }], no: [{ port: 82 }] },
  notPorts: { rule: to({ notPorts: ['8080'] }), yes: [{ port: 81 }], no: [{}] },
  methods: { rule: to({ methods: ['GET', 'P*'] }), yes: [{}, { method: 'POST' }, { method: 'PUT' }], no: [{ method: 'DELETE' }] },
  notMethods: { rule: to({ notMethods: ['GET'] }), yes: [{ method: 'POST' }], no: [{}] },
  paths: {
    rule: to({ paths: ['/exact', '/pre/*', '*.html'] }),
    yes: paths('/exact', '/exact?query=1', '/pre/', '/pre/a/b', '/x/y.html', '/x/../exact'),
    no: paths('/exact/', '/pre', '/x.html5', '/other?/exact', '/pre/../other'),
  },
  'paths, present': { rule: to({ paths: ['*'] }), yes: paths('/', '/a'), no: [] },
  'paths, templates': {
    rule: to({ paths: ['/one/{*}', '/two/{*}/x/{**}', '/three/{**}/end'] }),
    yes: paths('/one/a', '/two/a/x/b', '/two/a/x/b/c', '/three/a/b/end'),
    no: paths('/one/a/b', '/one/', '/two/a/b/x/c', '/three/a', '/four'),
  },
  notPaths: { rule: to({ notPaths: ['/admin*', '/t/{*}'] }), yes: paths('/', '/t/a/b'), no: paths('/admin', '/administrator', '/t/a') },
  'when source.ip': { rule: when('source.ip', '10.1.0.0/16'), yes: [{ source: '10.1.0.1' }], no: [{}] },
  'when remote.ip': {
    rule: when('remote.ip', '192.0.2.0/24'),
    yes: [{ headers: { 'x-forwarded-for': '192.0.2.7' } }],
    no: [{ headers: { 'x-forwarded-for': '10.0.0.1' } }],
  },
  'when source.namespace': { rule: when('source.namespace', 'web'), yes: [{ principal: frontend }], no: [{}, ...ids('a/ns/b/sa/c')] },
  'when source.principal': {
    rule: when('source.principal', 'cluster.local/ns/web/sa/frontend'),
    yes: [{ principal: frontend }, ...ids('old.domain/ns/web/sa/frontend')],
    no: [{}, ...ids('a/ns/web/sa/frontend')],
  },
  'when not source.principal': {
    rule: whenNot('source.principal', '*/sa/frontend'),
    yes: [{}, ...ids('a/ns/b/sa/c')],
    no: [{ principal: frontend }],
  },
  'when source.serviceAccount': { rule: when('source.serviceAccount', 'web/frontend'), yes: [{ principal: frontend }], no: [{}] },
  'when source.trustDomain': {
    rule: when('source.trustDomain', 'cluster.*'),
    yes: [{ principal: frontend }],
    no: [{}, ...ids('a/ns/b/sa/c')],
  },
  'when request.headers': {
    rule: when('request.headers[X-Token]', 'exact', 'pre*', '*suf'),
    yes: ['exact', 'prefix', 'xsuf'].map((value) => ({ headers: { 'x-token': value } })),
    no: [{}, { headers: { 'x-token': 'other' } }],
  },
  'when request.headers, present': { rule: when('request.headers[x-token]', '*'), yes: [{ headers: { 'x-token': 'a' } }], no: [{}] },
  'when not request.headers': {
    rule: whenNot('request.headers[x-token]', 'a'),
    yes: [{}, { headers: { 'x-token': 'b' } }],
    no: [{ headers: { 'x-token': 'a' } }],
  },
  'when request.headers[host]': {
    rule: when('request.headers[Host]', 'a.example.com'),
    yes: hosts('a.example.com'),
    no: hosts('b.example.com'),
  },
  'when request.auth.principal': {
    rule: when('request.auth.principal', 'a/b'),
    yes: tokens({ iss: 'a', sub: 'b' }),
    no: [{}, ...tokens({ iss: 'a', sub: 'c' })],
  },
  'when request.auth.audiences': {
    rule: when('request.auth.audiences', 'one', 'two*'),
    yes: tokens({ aud: 'one' }, { aud: ['x', 'twofold'] }),
    no: [{}, ...tokens({ aud: 'x' }, { aud: ['ones'] })],
  },
  'when request.auth.presenter': {
    rule: when('request.auth.presenter', 'app'),
    yes: tokens({ azp: 'app' }),
    no: [{}, ...tokens({ azp: 'app2' })],
  },
  'when request.auth.claims': {
    rule: when('request.auth.claims[groups]', 'admin'),
    yes: tokens({ groups: 'admin' }, { groups: ['a', 'admin'] }),
    no: [{}, ...tokens({ groups: ['administrators'] }, { other: 'admin' })],
  },
  'when request.auth.claims, nested': {
    rule: when('request.auth.claims[realm][roles]', 'admin'),
    yes: tokens({ realm: { roles: ['admin'] } }),
    no: [{}, ...tokens({ roles: ['admin'] }, { realm: { roles: [] } })],
  },
  'when not request.auth.claims': {
    rule: whenNot('request.auth.claims[g]', 'a'),
    yes: [{}, ...tokens({ g: 'b' })],
    no: tokens({ g: ['a'] }),
  },
  'when destination.ip': { rule: when('destination.ip', '10.96.0.0/16'), yes: [{}], no: [{ destination: '10.97.0.1' }] },
  'when destination.port': { rule: when('destination.port', '8080'), yes: [{}], no: [{ port: 81 }] },
  'when connection.sni': { rule: when('connection.sni', 'a.example.com'), yes: [], no: [{}] },
  'when not connection.sni': { rule: whenNot('connection.sni', 'a.example.com'), yes: [{}], no: [] },
  'when experimental.envoy.filters': {
    rule: when('experimental.envoy.filters.http.jwt_authn[payload]', 'x'),
    yes: [],
    no: [{}, ...tokens({ iss: 'x' })],
  },
  'from × to × when': {
    rule: {
      from: [{ source: { namespaces: ['web'], notPrincipals: ['*/sa/guest'] } }, { source: { ipBlocks: ['10.9.0.0/16'] } }],
      to: [{ operation: { methods: ['GET'], paths: ['/a'] } }, { operation: { methods: ['POST'] } }],
      when: [
        { key: 'request.headers[x-a]', values: ['1', '2'] },
        { key: 'destination.port', notValues: ['81'] },
      ],
    },
    yes: [
      { principal: frontend, path: '/a', headers: { 'x-a': '1' } },
      { source: '10.9.0.1', method: 'POST', headers: { 'x-a': '2' } },
    ],
    no: [
      { principal: frontend, path: '/b', headers: { 'x-a': '1' } },
      { principal: 'spiffe://cluster.local/ns/web/sa/guest', path: '/a', headers: { 'x-a': '1' } },
      { principal: frontend, path: '/a' },
      { principal: frontend, path: '/a', headers: { 'x-a': '1' }, port: 81 },
      { path: '/a', headers: { 'x-a': '1' } },
    ],
  },
};

const web: AuthorizationRule = from({ namespaces: ['web'] });
/** Several policies together, by case: what holds over HTTP for a request, and over TCP for a connection, of `frontend` and of nobody. */
const together: readonly {
  readonly name: string;
  readonly specs: readonly AuthorizationPolicySpec[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly http: readonly [frontend: boolean, nobody: boolean];
  readonly tcp: readonly [frontend: boolean, nobody: boolean];
}[] = [
  { name: 'no policy', specs: [], http: [true, true], tcp: [true, true] },
  { name: 'ALLOW without rules denies everything', specs: [{}], http: [false, false], tcp: [false, false] },
  { name: 'DENY without rules denies nothing', specs: [{ action: 'DENY' }], http: [true, true], tcp: [true, true] },
  { name: 'ALLOW', specs: [{ rules: [web] }], http: [true, false], tcp: [true, false] },
  { name: 'DENY', specs: [{ action: 'DENY', rules: [web] }], http: [false, true], tcp: [false, true] },
  { name: 'ALLOW policies add up', specs: [{}, { rules: [web] }], http: [true, false], tcp: [true, false] },
  { name: 'DENY wins', specs: [{ rules: [{}] }, { action: 'DENY', rules: [web] }], http: [false, true], tcp: [false, true] },
  { name: 'AUDIT keeps nobody out', specs: [{ action: 'AUDIT', rules: [{}] }], http: [true, true], tcp: [true, true] },
  {
    name: 'a dry run keeps nobody out',
    specs: [{ action: 'DENY', rules: [{}] }, { rules: [web] }],
    annotations: { 'istio.io/dry-run': 'true' },
    http: [true, true],
    tcp: [true, true],
  },
  {
    name: 'what cannot be translated denies everything',
    specs: [{ action: 'DENY', rules: [when('no.such.key', 'x')] }, { rules: [{}] }],
    http: [false, false],
    tcp: [false, false],
  },
  {
    name: 'over TCP an ALLOW rule with HTTP fields never matches',
    specs: [{ rules: [{ ...web, ...to({ methods: ['GET'] }) }] }],
    http: [true, false],
    tcp: [false, false],
  },
  {
    name: 'over TCP a DENY rule goes without its HTTP fields',
    specs: [{ action: 'DENY', rules: [{ ...web, ...to({ methods: ['DELETE'] }) }] }],
    http: [true, true],
    tcp: [false, true],
  },
  {
    name: 'CUSTOM with an unknown provider denies everything',
    specs: [{ action: 'CUSTOM', provider: { name: 'nobody' }, rules: [web] }],
    http: [false, false],
    tcp: [false, false],
  },
];

const entries = Object.entries(rows);
const denied = (rule: AuthorizationRule): Authorization | undefined => authorize([{ action: 'DENY', rules: [rule] }]);
let proxy: AuthorizationProxy;

beforeAll(async () => {
  const security = (authorization: Authorization | undefined): ScopeSecurity => ({ jwt, ...(authorization && { authorization }) });
  proxy = await startAuthorizationProxy([
    ...entries.map(([, { rule }]) => security(authorize([{ rules: [rule] }]))),
    ...entries.map(([, { rule }]) => security(denied(rule))),
    ...together.map(({ specs, annotations }) => security(authorize(specs, annotations))),
  ]);
});

afterAll(() => proxy.stop());

test.each(entries.map(([name, row], i) => [name, row, i] as const))('%s', async (_name, { yes, no }, i) => {
  const statuses = (index: number, calls: readonly HttpCall[]) => Promise.all(calls.map((call) => proxy.http(index, call)));
  expect(await statuses(i, yes), 'allowed').toEqual(yes.map(() => 200));
  expect(await statuses(i, no), 'not allowed').toEqual(no.map(() => 403));
  expect(await statuses(entries.length + i, yes), 'denied').toEqual(yes.map(() => 403));
  expect(await statuses(entries.length + i, no), 'not denied').toEqual(no.map(() => 200));
});

describe.each(together.map((t, i) => [t.name, t, 2 * entries.length + i] as const))('%s', (_name, { http, tcp }, i) => {
  const clients = [{ principal: frontend }, {}];
  test('over HTTP', async () => {
    const statuses = await Promise.all(clients.map((c) => proxy.http(i, c)));
    expect(statuses.map((s) => s === 200)).toEqual(http);
  });
  test('over TCP', async () => {
    expect(await Promise.all(clients.map((c) => proxy.tcp(i, c)))).toEqual(tcp);
  });
});

test('dry runs are counted', async () => {
  const i = 2 * entries.length + together.findIndex((t) => t.annotations);
  await proxy.http(i, { principal: frontend });
  const counters = await proxy.counters('istio_dry_run');
  expect(counters['http.http.rbac.istio_dry_run_deny_.shadow_denied']).toBeGreaterThan(0);
  expect(counters['http.http.rbac.istio_dry_run_allow_.shadow_allowed']).toBeGreaterThan(0);
});

/** What Envoy refuses leaves the configuration before in force: so nothing that a policy can say may be refused. */
test('Envoy accepts every value that we accept', async () => {
  const values = [
    '**',
    '*a*',
    'a b',
    'ä',
    '\\',
    '(',
    '[a',
    '{',
    '{*',
    '%',
    '%zz',
    '"',
    "'",
    '*/',
    '/*',
    '/',
    '//',
    'a/*/b',
    '\n',
    '*\n',
    '😀',
  ];
  const templates = values.flatMap((v) => [`/{*}/${v}`, `/${v}/{**}`]);
  const keys = [
    'request.headers[a]',
    'request.headers[:path]',
    'request.headers[a b]',
    'request.headers[ä]',
    'request.auth.claims[ä b]',
    'experimental.envoy.filters.x[y]',
  ];
  const rules: readonly AuthorizationRule[] = [
    ...['principals', 'requestPrincipals', 'namespaces', 'trustDomains'].flatMap((f) => values.map((v) => from({ [f]: [v] }))),
    ...values.map((v) => from({ serviceAccounts: [v] })),
    ...['hosts', 'methods', 'paths'].flatMap((f) => values.map((v) => to({ [f]: [v] }))),
    ...[
      ...templates,
      ...Array.from("-._~!$&'()+,;:@=%").map((c) => `/{*}/a${c}b/${c}`),
      '/{*}/{*}/{*}/{*}/{*}/{*}/{*}',
      '/{**}',
      '/{*}',
      '/a//{*}',
      '/{**}/',
    ].map((v) => to({ paths: [v] })),
    ...['::1', 'fe80::1%eth0', '::ffff:10.0.0.1', '10.0.0.1/0', '010.0.0.1', '1.2', 'fd00::/64'].map((v) => from({ ipBlocks: [v] })),
    ...keys.flatMap((k) => values.map((v) => when(k, v))),
    ...values.map((v) => when(v, 'x')),
  ];
  const odd = await startAuthorizationProxy(rules.map((rule) => ({ jwt, authorization: authorize([{ rules: [rule] }]) ?? never() })));
  await odd.stop();
});

function never(): never {
  throw new Error('unreachable');
}
