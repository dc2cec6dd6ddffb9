/** The filter ExternalAuth through a real Envoy, with real authorization services over HTTP and gRPC. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, serviceOf, startBackend } from '../backend.ts';
import { type AuthorizationServer, startGrpcAuthorization, startHttpAuthorization } from '../ext-authz-server.ts';
import { type Call, type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let backend: Backend;
let http: AuthorizationServer;
let grpc: AuthorizationServer;

const ask = (settings: string): string => `{ type: ExternalAuth, externalAuth: { ${settings} } }`;
const rule = (path: string, filters: string, more = 'backendRefs: [{ name: one, port: 80 }]'): string =>
  `{ matches: [{ path: { value: ${path} } }], filters: [${filters}], ${more} }`;
const overHttp = 'protocol: HTTP, backendRef: { name: http, port: 80 }';
const overGrpc = 'protocol: GRPC, backendRef: { name: grpc, port: 80 }';
const away = `{ type: RequestRedirect, requestRedirect: { hostname: new.example.com } }`;

const rules = [
  `{ backendRefs: [{ name: one, port: 80 }] }`,
  rule('/http', ask(`${overHttp}, http: { path: /check/../here/, allowedHeaders: [x-token], allowedResponseHeaders: [x-user] }`)),
  rule('/all', ask(`${overHttp}, http: {}`)),
  rule('/body', ask(`${overHttp}, http: {}, forwardBody: { maxSize: 10 }`)),
  rule('/grpc', ask(`${overGrpc}, grpc: { allowedHeaders: [x-token] }`)),
  rule('/away', `${ask(`${overGrpc}, grpc: {}`)}, ${away}`, ''),
  rule('/gone', ask('protocol: HTTP, http: {}, backendRef: { name: gone, port: 80 }')),
  rule('/down', ask('protocol: HTTP, http: {}, backendRef: { name: down, port: 80 }')),
];

beforeAll(async () => {
  [backend, http, grpc] = await Promise.all([startBackend('one'), startHttpAuthorization(), startGrpcAuthorization()]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': [backend, { ...http, name: 'http' }, { ...grpc, name: 'grpc' }, { name: 'down', port: 1 }]
        .map((b) => serviceOf(b))
        .join(''),
      'routes.yaml': routeOf('exact', ['a.example.com'], rules) + routeOf('wild', ['*.example.org'], rules),
    },
    [80],
  );
  await eventually(
    'Envoy serves',
    async () => (await get('/')).status === 200 && (await get('/', { host: 'x.example.org' })).status === 200,
  );
});

beforeEach(() => {
  for (const server of [http, grpc]) server.questions.length = 0;
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const server of [backend, http, grpc]) server.close();
});

const get = (target: string, more: Call = {}) => call(gateway.port(80), target, more);

test.each(['a.example.com', 'x.example.org', 'X.EXAMPLE.ORG'])('over HTTP, at %s', async (host) => {
  const refused = await get('/http/x', { host });
  expect(refused).toMatchObject({ status: 401, headers: { 'x-why': 'nobody' } });
  const allowed = await get('/http/allowed', { host, headers: { 'x-token': 'me', 'x-other': 'no', authorization: 'Basic x' } });
  expect(echoOf(allowed).headers).toMatchObject({ 'x-user': 'alice' });
  expect(echoOf(allowed).headers).not.toHaveProperty('x-hidden');
  expect(http.questions.map((q) => q.path)).toEqual(['/here/http/x', '/here/http/allowed']);
  expect(http.questions[1]?.headers).toMatchObject({ 'x-token': 'me', authorization: 'Basic x', 'content-length': '0' });
  expect(http.questions[1]?.headers).not.toHaveProperty('x-other');
});

test('without a list all headers of the answer reach the backend, but for those that frame a request or say where it goes', async () => {
  const { headers, host } = echoOf(await get('/all/allowed', { method: 'POST', body: 'abc' }));
  expect(headers).toMatchObject({ 'x-user': 'alice', 'x-hidden': 'no' });
  expect(headers).not.toHaveProperty('x-kgateway-scope');
  expect(host).toBe('a.example.com');
});

test('a body, up to its limit', async () => {
  expect((await get('/body/allowed', { method: 'POST', body: 'abc' })).status).toBe(200);
  expect(http.questions[0]).toMatchObject({ body: 'abc', headers: { 'content-length': '3' } });
  expect((await get('/body/allowed', { method: 'POST', body: 'x'.repeat(11) })).status).toBe(413);
});

test('over gRPC', async () => {
  expect((await get('/grpc/x')).status).toBe(401);
  expect((await get('/grpc/allowed', { headers: { 'x-token': 'me', 'x-other': 'no' } })).status).toBe(200);
  const headers = grpc.questions[1]?.check?.attributes?.request?.http?.headers;
  expect(headers).toMatchObject({ 'x-token': 'me' });
  expect(headers).not.toHaveProperty('x-other');
});

test('before a redirect', async () => {
  expect((await get('/away/x')).status).toBe(401);
  expect((await get('/away/allowed')).status).toBe(302);
});

test('nothing passes where nobody answers, or nobody can be asked', async () => {
  expect((await get('/down/allowed')).status).toBe(403);
  expect((await get('/gone/allowed')).status).toBe(500);
  const said = 'spec.rules[6].filters.externalAuth.backendRef: there is nobody to ask (see ResolvedRefs)';
  expect(JSON.stringify(gateway.status('HTTPRoute default/exact'))).toContain(said);
});

test('other rules are not asked about', async () => {
  expect((await get('/x')).status).toBe(200);
  expect([...http.questions, ...grpc.questions]).toEqual([]);
});
