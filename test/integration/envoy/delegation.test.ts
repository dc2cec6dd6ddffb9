/** Requests through delegations: who serves, with which policies, and what changes of children and parents do to traffic. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, api, gatewayOf, objectOf, serviceOf, startBackend } from '../backend.ts';
import { type Call, type LocalGateway, call, echoOf, eventually, problemsDuring, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;

const toRoute = (name: string, more = ''): string => `{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: '${name}'${more} }`;
const to = (backend: string): string => `backendRefs: [{ name: ${backend}, port: 80 }]`;
const path = (value: string, type = 'PathPrefix'): string => `matches: [{ path: { type: ${type}, value: '${value}' } }]`;

const httpRoute = (name: string, spec: string, metadata?: string): string => objectOf(api.gateway, 'HTTPRoute', name, spec, metadata);

const parents = (rules: string): string =>
  httpRoute('parent', `parentRefs: [{ name: gw }], hostnames: [a.example.com], rules: [${rules}]`) +
  httpRoute(
    'strict',
    `parentRefs: [{ name: gw }], hostnames: ['*.example.org'], rules: [{ ${path('/team')}, timeouts: { request: 100ms }, backendRefs: [${toRoute('team')}] }]`,
    'annotations: { kgateway.dev/inherited-policy-priority: ShallowMergePreferParent }',
  );

const rules = [
  `{ ${path('/team')}, timeouts: { request: 100ms }, filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-parent, value: 'yes' }] } }], backendRefs: [${toRoute('team')}] }`,
  `{ ${path('/label')}, backendRefs: [{ group: delegation.kgateway.dev, kind: label, name: crew, namespace: all }] }`,
  `{ ${path('/missing')}, backendRefs: [${toRoute('nobody')}] }`,
  `{ ${path('/')}, ${to('two')} }`,
].join(', ');

const slow = 'filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /delay/400 } } }]';
const team = httpRoute(
  'team',
  `rules: [{ ${path('/team/a')}, ${to('one')} }, { ${path('/team/delay')}, ${slow}, timeouts: { request: 10s }, ${to('one')} }, { ${path('/team/hurry')}, ${slow}, ${to('one')} }, { ${path('/admin')}, ${to('one')} }, { ${path('/team/[0-9]+|/admin', 'RegularExpression')}, ${to('one')} }]`,
);
const crew = httpRoute(
  'crew',
  `rules: [{ ${path('/one')}, ${to('one')} }, { ${path('/deep')}, backendRefs: [${toRoute('deep')}] }]`,
  "labels: { delegation.kgateway.dev/label: crew }, annotations: { delegation.kgateway.dev/inherit-parent-matcher: 'true' }",
);
const deep = httpRoute(
  'deep',
  `parentRefs: [${toRoute('crew')}], rules: [{ ${path('/er', 'Exact')}, ${to('one')} }, { ${path('/regex|/escape|/x|y', 'RegularExpression')}, ${to('one')} }]`,
  "annotations: { delegation.kgateway.dev/inherit-parent-matcher: 'true' }",
);

beforeAll(async () => {
  [one, two] = await Promise.all([startBackend('one'), startBackend('two')]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one) + serviceOf(two),
      'parents.yaml': parents(rules),
      'team.yaml': team,
      'crew.yaml': crew + deep,
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await get('/')).status === 200);
  expect(gateway.problems()).toEqual([]);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  for (const backend of [one, two]) backend.close();
});

function get(target: string, options: Call = {}) {
  return call(gateway.port(80), target, options);
}

async function servedBy(target: string): Promise<string> {
  const answer = await get(target);
  return answer.status === 200 ? echoOf(answer).service : String(answer.status);
}

describe('who serves', () => {
  test.each([
    ['/team/a', 'one'],
    ['/team/a/b', 'one'],
    ['/team/ab', 'two'],
    ['/team/7', 'one'],
    ['/admin', 'two'],
    ['/label/one', 'one'],
    ['/label/deep/er', 'one'],
    ['/label/deep/er/not', 'two'],
    ['/label/deep/regex', 'one'],
    ['/label/deep/x?q=1', 'one'],
    ['/escape', 'two'],
    ['/label/deepy', 'two'],
    ['/missing', '500'],
    ['/missing/any', '500'],
  ])('%s: %s', async (target, expected) => {
    expect(await servedBy(target)).toBe(expected);
  });
});

describe('what children inherit', () => {
  test('filters of the parent', async () => {
    expect(echoOf(await get('/team/a')).headers['x-parent']).toBe('yes');
    expect(echoOf(await get('/elsewhere')).headers['x-parent']).toBeUndefined();
  });

  test('timeouts: the own one first, unless the parent is preferred', async () => {
    const [own, inherited, preferred] = await Promise.all([
      get('/team/delay'),
      get('/team/hurry'),
      get('/team/delay', { host: 'b.example.org' }),
    ]);
    expect([own.status, inherited.status, preferred.status]).toEqual([200, 504, 504]);
  });
});

describe('changes', () => {
  test('a child comes and goes', async () => {
    await gateway.write('late.yaml', httpRoute('nobody', `rules: [{ ${path('/missing/late')}, ${to('one')} }]`));
    await eventually('it serves', async () => (await servedBy('/missing/late')) === 'one');
    expect(await servedBy('/missing/any')).toBe('two');
    await gateway.remove('late.yaml');
    await eventually('nothing does', async () => (await servedBy('/missing/late')) === '500');
  });

  test('while children change, nothing of others is lost', async () => {
    const change = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await gateway.write('late.yaml', httpRoute('nobody', `rules: [{ ${path(`/missing/${i}`)}, ${to('one')} }]`));
      }
      await eventually('the last one serves', async () => (await servedBy('/missing/19')) === 'one');
      await gateway.remove('late.yaml');
    };
    expect(await problemsDuring(() => get('/team/a'), change)).toEqual([]);
  });

  test('a parent withdraws', async () => {
    await gateway.write('parents.yaml', parents(`{ ${path('/')}, ${to('two')} }`));
    await eventually('the rest serves', async () => (await servedBy('/team/a')) === 'two');
    await gateway.write('parents.yaml', parents(rules));
    await eventually('the child is back', async () => (await servedBy('/team/a')) === 'one');
  });
});
