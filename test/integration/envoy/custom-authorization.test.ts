/** AuthorizationPolicies of action CUSTOM, with real servers of external authorization over HTTP and gRPC, at a waypoint. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Backend, api, objectOf, sliceOf, startBackend } from '../backend.ts';
import { type AuthorizationServer, type Question, startGrpcAuthorization, startHttpAuthorization } from '../ext-authz-server.ts';
import { type L4Backend, startEchoBackend } from '../l4.ts';
import { type LocalGateway, echoOf, eventually, startLocalGateway } from '../local.ts';
import { type WaypointCall, callWaypoint, echoed } from '../waypoint-client.ts';
import { meshConfigMap, waypointGateway, waypointService } from '../waypoint.ts';

let gateway: LocalGateway;
let backend: Backend;
let http: AuthorizationServer;
let grpc: AuthorizationServer;
let tcp: Pick<L4Backend, 'port' | 'close'>;

const web = 'spiffe://cluster.local/ns/web/sa/frontend';
/** A Service for each case, so that no policy has to change. */
const cases = [
  'http',
  'grpc',
  'slow',
  'open',
  'body',
  'partial',
  'rerouted',
  'many',
  'dry',
  'wrong',
  'missing',
  'tcphttp',
  'tcphttpweb',
  'headers',
] as const;
type Case = (typeof cases)[number];
const address = (name: Case): string => `10.96.0.${cases.indexOf(name) + 1}`;

function get(name: Case, path: string, call: Partial<WaypointCall> = {}) {
  return callWaypoint(gateway.port(15_088), path, { address: address(name), ...call });
}

const custom = (name: string, provider: string, rules: string, target = name, metadata = ''): string => {
  const spec = `targetRefs: [{ kind: Service, name: ${target} }], action: CUSTOM, provider: { name: ${provider} }, rules: [${rules}]`;
  return objectOf(api.security, 'AuthorizationPolicy', name, spec, metadata);
};

const service = 'service: ext-authz.default.svc.cluster.local';
const meshConfig = meshConfigMap(`
extensionProviders:
- name: http
  envoyExtAuthzHttp: { ${service}, port: 8000, pathPrefix: /check, includeRequestHeadersInCheck: [x-token, 'X-B3-*'],
    includeAdditionalHeadersInCheck: { x-asked-by: 'waypoint 100%' }, headersToUpstreamOnAllow: [X-User, x-kgateway-scope], headersToDownstreamOnDeny: [x-why] }
- name: grpc
  envoyExtAuthzGrpc: { ${service}, port: 9000 }
- name: slow
  envoyExtAuthzGrpc: { ${service}, port: 9000, timeout: 0.1s, statusOnError: '418' }
- name: slow-503
  envoyExtAuthzGrpc: { ${service}, port: 9000, timeout: 0.1s, statusOnError: '503' }
- name: open
  envoyExtAuthzHttp: { ${service}, port: 8000, timeout: 0.1s, failOpen: true }
- name: body
  envoyExtAuthzHttp: { ${service}, port: 8000, includeRequestBodyInCheck: { maxRequestBytes: 10 } }
- name: partial
  envoyExtAuthzGrpc: { ${service}, port: 9000, includeRequestBodyInCheck: { maxRequestBytes: 10, allowPartialMessage: true } }
- name: rerouted
  envoyExtAuthzHttp: { ${service}, port: 8000, clearRouteCache: true, headersToUpstreamOnAllow: [x-user] }
- name: gone
  envoyExtAuthzHttp: { service: nothing.default.svc.cluster.local, port: 8000 }
`);

const policies = [
  custom('http', 'http', '{ from: [{ source: { namespaces: [web] } }], to: [{ operation: { notPaths: [/free] } }] }'),
  custom('grpc', 'grpc', '{}'),
  custom('slow', 'slow-503', '{}'),
  custom('open', 'open', '{}'),
  custom('body', 'body', '{}'),
  custom('partial', 'partial', '{}'),
  custom('rerouted', 'rerouted', "{ to: [{ operation: { ports: ['80'] } }] }"),
  custom('many-1', 'http', '{ to: [{ operation: { paths: [/a] } }] }', 'many'),
  custom('many-2', 'grpc', '{ to: [{ operation: { paths: [/b] } }] }', 'many'),
  custom('dry', 'http', '{}', 'dry', "annotations: { istio.io/dry-run: 'true' }"),
  custom('wrong', 'slow', '{}'),
  custom('missing', 'gone', '{}'),
  custom('tcphttp', 'http', "{ to: [{ operation: { ports: ['25'] } }] }"),
  custom('tcphttpweb', 'http', "{ from: [{ source: { namespaces: [web] } }], to: [{ operation: { paths: ['/never'] } }] }"),
  custom('headers', 'grpc', '{ to: [{ operation: { paths: ["/asked*"] } }] }'),
  custom('tcp', 'grpc', '{ to: [{ operation: { ports: ["25"] } }] }', 'grpc'),
].join('');

beforeAll(async () => {
  [backend, http, grpc] = await Promise.all([startBackend('one'), startHttpAuthorization(), startGrpcAuthorization()]);
  tcp = await startEchoBackend();
  const backendPorts = `{ name: http, port: ${backend.port} }, { name: smtp, port: ${tcp.port} }`;
  const services = cases.map((name) =>
    waypointService(name, [address(name)], '{ name: http, port: 80 }, { name: smtp, port: 25 }', backendPorts),
  );
  gateway = await startLocalGateway(
    {
      'gateway.yaml': waypointGateway,
      'mesh.yaml': meshConfig,
      'policies.yaml': policies,
      'services.yaml': [
        objectOf('v1', 'Service', 'ext-authz', 'clusterIP: 10.96.1.1, ports: [{ name: http, port: 8000 }, { name: grpc, port: 9000 }]'),
        sliceOf('ext-authz', `{ name: http, port: ${http.port} }, { name: grpc, port: ${grpc.port} }`),
        ...services,
      ].join(''),
      'routes.yaml': `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: rerouted }
spec:
  parentRefs: [{ group: '', kind: Service, name: rerouted, port: 80 }]
  rules:
    - name: known
      matches: [{ headers: [{ name: x-user, value: alice }] }]
      backendRefs: [{ name: rerouted, port: 80 }]
    - backendRefs: [{ name: rerouted, port: 80 }]
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: known }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: rerouted, sectionName: known }]
  rateLimit: { local: { tokenBucket: { maxTokens: 1, tokensPerFill: 1, fillInterval: 100s } } }
`,
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await get('dry', '/').catch(() => undefined))?.status === 200);
  await eventually('the waypoint asks', async () => (await get('grpc', '/allowed')).status === 200);
});

beforeEach(() => {
  http.questions.length = 0;
  grpc.questions.length = 0;
});

afterAll(async () => {
  expect(gateway.problems()).toEqual([]);
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const server of [backend, http, grpc, tcp]) server.close();
});

const message = (policy: string): string => {
  const status = gateway.status(`AuthorizationPolicy default/${policy}`);
  const [condition] = status?.form === 'conditions' ? status.conditions : [];
  return `${condition?.status} ${condition?.reason}: ${condition?.message}`;
};

describe('over HTTP', () => {
  test('is asked about what the rules match, with what the provider names, and nothing else', async () => {
    const headers = { 'x-token': 't', 'x-b3-id': '1', 'x-other': 'o', 'x-user': 'forged' };
    const answer = await get('http', '/allowed?q=1', { principal: web, headers });
    const [question] = http.questions;
    expect(question?.path).toBe('/check/allowed?q=1');
    expect(question?.headers).toMatchObject({ 'x-token': 't', 'x-b3-id': '1', 'x-asked-by': 'waypoint 100%', host: 'echo' });
    expect(Object.keys(question?.headers ?? {})).not.toEqual(expect.arrayContaining(['x-other']));
    expect(question?.headers).not.toHaveProperty('x-kgateway-scope');
    const seen = echoOf(answer).headers;
    expect(seen['x-user']).toBe('alice');
    expect(seen).not.toHaveProperty('x-hidden');
    expect(seen).not.toHaveProperty('x-kgateway-scope');
  });

  test('what it refuses gets its status and the headers that are to be passed on', async () => {
    const answer = await get('http', '/other', { principal: web });
    expect(answer).toMatchObject({ status: 401, body: 'no' });
    expect(answer.headers['x-why']).toBe('nobody');
    expect(answer.headers).not.toHaveProperty('x-secret');
  });

  test('is not asked about other clients and paths', async () => {
    expect((await get('http', '/other')).status).toBe(200);
    expect((await get('http', '/other', { principal: 'spiffe://cluster.local/ns/other/sa/x' })).status).toBe(200);
    expect((await get('http', '/free', { principal: web })).status).toBe(200);
    expect(http.questions).toEqual([]);
  });

  test('with failOpen, its silence lets requests pass', async () => {
    expect((await get('open', '/slow')).status).toBe(200);
    expect((await get('open', '/no')).status).toBe(401);
  });

  test('gets the body whole; one that is too large is refused', async () => {
    expect((await get('body', '/allowed', { method: 'POST', body: 'short' })).status).toBe(200);
    expect(http.questions[0]?.body).toBe('short');
    expect((await get('body', '/allowed', { method: 'POST', body: 'longer than ten' })).status).toBe(413);
  });

  test('a route that it leads to has its policies', async () => {
    const statuses = [await get('rerouted', '/allowed'), await get('rerouted', '/allowed')].map((a) => a.status);
    expect(statuses).toEqual([200, 429]);
  });
});

describe('over gRPC', () => {
  test('decides, changes headers, and hears who asks', async () => {
    const answer = await get('grpc', '/allowed', { principal: web, headers: { 'x-any': 'a' } });
    expect(echoOf(answer).headers['x-user']).toBe('bob');
    const [question] = grpc.questions as [Question];
    expect(question.headers).toMatchObject({ 'x-any': 'a', authority: 'ext-authz.default.svc.cluster.local:9000' });
    expect(question.headers).not.toHaveProperty('x-kgateway-scope');
    const identity = question.check?.attributes?.metadata_context?.filter_metadata?.['envoy.filters.listener.proxy_protocol'];
    expect(JSON.stringify(identity)).toContain(web);
    const refused = await get('grpc', '/no');
    expect(refused).toMatchObject({ status: 401, body: 'no' });
    expect(refused.headers['x-why']).toBe('nobody');
  });

  test('its silence is answered with statusOnError', async () => {
    expect((await get('slow', '/slow')).status).toBe(503);
  });

  test('gets a part of the body', async () => {
    const answer = await get('partial', '/allowed', { method: 'POST', body: 'longer than ten' });
    expect(answer.status).toBe(200);
    expect(grpc.questions[0]?.body).toBe('longer tha');
  });

  test('is asked about connections', async () => {
    const port = gateway.port(15_088);
    expect(await echoed(port, 'hello', { address: address('grpc'), port: 25, principal: web })).toBe('hello');
    expect(grpc.questions).toHaveLength(1);
    expect(await echoed(port, 'hello', { address: address('grpc'), port: 25, source: '10.9.9.9' })).toBeUndefined();
    expect(grpc.questions).toHaveLength(2);
  });

  test('is asked about the paths of the rules alone', async () => {
    expect((await get('headers', '/unasked')).status).toBe(200);
    expect(grpc.questions).toEqual([]);
    expect((await get('headers', '/asked/no')).status).toBe(401);
  });
});

describe('when it cannot be asked', () => {
  test('several providers at one place: what the rules match is denied, and both policies say so', async () => {
    expect((await get('many', '/a')).status).toBe(403);
    expect((await get('many', '/b')).status).toBe(403);
    expect((await get('many', '/c')).status).toBe(200);
    expect(message('many-1')).toContain('False ConflictingProviders: what its rules match is denied to Service default/many');
    expect(message('many-1')).toContain('here http and grpc of AuthorizationPolicy default/many-2 meet');
    expect(message('many-2')).toContain('here grpc and http of AuthorizationPolicy default/many-1 meet');
  });

  test('a dry run asks nobody', async () => {
    expect((await get('dry', '/')).status).toBe(200);
    expect(http.questions).toEqual([]);
  });

  test('a provider that is not there, or has a mistake, denies everything', async () => {
    expect((await get('missing', '/allowed')).status).toBe(403);
    expect(message('missing')).toContain('nothing has host nothing.default.svc.cluster.local and port 8000');
    expect((await get('wrong', '/allowed')).status).toBe(403);
    expect(message('wrong')).toContain('statusOnError is no HTTP status that the proxy knows');
  });

  test('a provider over HTTP cannot be asked about connections: they are denied', async () => {
    expect(await echoed(gateway.port(15_088), 'hello', { address: address('tcphttp'), port: 25 })).toBeUndefined();
    expect((await get('tcphttp', '/')).status).toBe(200);
    expect(http.questions).toEqual([]);
  });

  test('of what its rules say about HTTP nothing counts for a connection; what they say about clients and ports does', async () => {
    const echo = (name: Case, principal?: string) => echoed(gateway.port(15_088), 'hello', { address: address(name), port: 25, principal });
    expect(await echo('tcphttpweb', web)).toBeUndefined();
    expect(await echo('tcphttpweb', 'spiffe://cluster.local/ns/other/sa/x')).toBe('hello');
    expect(await echo('body')).toBeUndefined();
    // Its rules are for port 80 alone.
    expect(await echo('rerouted')).toBe('hello');
    expect((await get('rerouted', '/no')).status).toBe(401);
    expect(http.questions.map((q) => q.path)).toEqual(['/no']);
  });

  test('the provider comes later', async () => {
    await gateway.write(
      'late.yaml',
      objectOf('v1', 'Service', 'nothing', 'clusterIP: 10.96.1.2, ports: [{ name: http, port: 8000 }]') +
        sliceOf('nothing', `{ name: http, port: ${http.port} }`),
    );
    await eventually('it is asked', async () => (await get('missing', '/allowed')).status === 200);
    expect((await get('missing', '/no')).status).toBe(401);
    expect(message('missing')).toContain('True Accepted');
  });
});
