/** Annotations of routes through a real Envoy, and rules that cannot be translated beside those that can. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;
let two: Backend;

const annotated = (route: string, annotations: string): string =>
  route.replace(/metadata: \{ (name: [\w-]+) \}/, `metadata: { $1, annotations: { ${annotations} } }`);
const catchAll = (weight: string): string =>
  annotated(routeOf('heavy', ['a.example.com'], [ruleOf('{ path: { value: / } }', '', 'two')]), `kgateway.dev/route-weight: '${weight}'`);
const redirects = (codes: string): string =>
  annotated(
    routeOf(
      'redirects',
      ['r.example.com'],
      [
        `{ name: first, matches: [{ path: { value: /1 } }], filters: [{ type: RequestRedirect, requestRedirect: { path: { type: ReplaceFullPath, replaceFullPath: /new } } }] }`,
        `{ matches: [{ path: { value: /2 } }], filters: [{ type: RequestRedirect, requestRedirect: { path: { type: ReplaceFullPath, replaceFullPath: /new } } }] }`,
      ],
    ),
    `kgateway.dev/http-redirect-status-code: '${codes}'`,
  );

beforeAll(async () => {
  [one, two] = await Promise.all([startBackend('one'), startBackend('two')]);
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one) + serviceOf(two),
      'exact.yaml': routeOf('exact', ['a.example.com'], [ruleOf('{ path: { type: Exact, value: /exact } }')]),
      'heavy.yaml': catchAll('-1'),
      'redirects.yaml': redirects('first=308'),
      'broken.yaml': routeOf(
        'broken',
        ['b.example.com'],
        [
          ruleOf('{ path: { value: /fine } }'),
          ruleOf('{ path: { value: /header } }', '{ type: RequestHeaderModifier, requestHeaderModifier: { remove: [Host] } }'),
          ruleOf(
            '{ path: { value: /rewrite } }',
            `{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: '/a b' } } }`,
          ),
          ruleOf(
            '{ path: { value: /policy } }',
            '{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: TrafficPolicy, name: broken } }',
          ),
          ruleOf(`{ path: { type: RegularExpression, value: '/(unclosed' } }`),
        ],
      ),
      'policy.yaml': `---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: broken }
spec: { headerModifiers: { request: { set: [{ name: x-a, value: '%NO_SUCH_OPERATOR%' }] } } }
`,
    },
    [80],
  );
  await eventually(
    'Envoy serves',
    async () => (await get('/exact')).status === 200 && (await get('/fine', 'b.example.com')).status === 200,
  );
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  one.close();
  two.close();
});

const get = (path: string, host = 'a.example.com') => call(gateway.port(80), path, { host });
const programmed = (route: string): string => JSON.stringify(gateway.status(`HTTPRoute default/${route}`));

test('a route with more weight is tried before one whose match is more specific, and follows its annotation', async () => {
  expect(echoOf(await get('/exact')).service).toBe('one');
  await gateway.write('heavy.yaml', catchAll('10'));
  await eventually('the weight counts', async () => echoOf(await get('/exact')).service === 'two');
  await gateway.write('heavy.yaml', catchAll('heavy'));
  await eventually('what is no number has no effect', async () => echoOf(await get('/exact')).service === 'one');
  expect(programmed('heavy')).toContain('"reason":"InvalidAnnotation"');
});

test('status codes of redirects, by name of the rule and for all', async () => {
  const codes = async (): Promise<string> =>
    (await Promise.all(['/1', '/2'].map((p) => get(p, 'r.example.com')))).map((a) => a.status).join();
  await eventually('there are redirects', async () => (await codes()) === '308,302');
  await gateway.write('redirects.yaml', redirects('first=301,303'));
  await eventually('they have changed', async () => (await codes()) === '301,303');
});

test.each(['/header', '/rewrite', '/policy'])(
  'a rule that cannot be translated answers 500 at %s, and its route serves on',
  async (path) => {
    expect(await get(path, 'b.example.com')).toMatchObject({ status: 500, body: expect.stringContaining('invalid route configuration') });
    expect((await get('/fine', 'b.example.com')).status).toBe(200);
  },
);

test('a rule whose match cannot be translated is left out', async () => {
  expect((await get('/(unclosed', 'b.example.com')).status).toBe(404);
});

test('the status names each of them', () => {
  const report = gateway.status('HTTPRoute default/broken');
  expect(report?.form === 'parents' && report.entries[0]?.conditions).toMatchObject([
    { type: 'Accepted', status: 'True' },
    { type: 'ResolvedRefs', status: 'True' },
    {
      type: 'PartiallyInvalid',
      status: 'True',
      reason: 'UnsupportedValue',
      message: expect.stringContaining('Dropped Rule: spec.rules[4]'),
    },
    {
      type: 'kgateway.dev/Programmed',
      status: 'False',
      reason: 'RouteRuleDropped',
      message: expect.stringMatching(
        /Dropped Rule: spec.rules\[4\].*; Replaced Rule: .*spec.rules\[1\].*spec.rules\[2\].*spec.rules\[3\]/s,
      ),
    },
  ]);
});
