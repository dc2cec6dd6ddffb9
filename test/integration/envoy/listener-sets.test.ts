/** Requests to listeners of ListenerSets, and of XListenerSets beside them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;

const setOf = (apiVersion: string, kind: string, listener: string): string => `---
apiVersion: ${apiVersion}
kind: ${kind}
metadata: { name: set }
spec: { parentRef: { name: gw }, listeners: [${listener}] }
`;

const everything = ruleOf('{ path: { value: / } }');

beforeAll(async () => {
  one = await startBackend('one');
  gateway = await startLocalGateway(
    {
      'gateway.yaml': `${gatewayOf('{ name: http, protocol: HTTP, port: 80, hostname: gw.example.com }')}  allowedListeners: { namespaces: { from: Same } }\n`,
      'backends.yaml': serviceOf(one),
      'set.yaml': setOf(
        'gateway.networking.k8s.io/v1',
        'ListenerSet',
        '{ name: http, protocol: HTTP, port: 80, hostname: set.example.com }',
      ),
      'legacy.yaml': setOf('gateway.networking.x-k8s.io/v1alpha1', 'XListenerSet', '{ name: http, protocol: HTTP, port: 8080 }'),
      'routes.yaml':
        routeOf('of-set', [], [everything], '{ kind: ListenerSet, name: set }') +
        routeOf('of-legacy', [], [everything], '{ group: gateway.networking.x-k8s.io, kind: XListenerSet, name: set }'),
    },
    [80, 8080],
  );
  expect(gateway.problems()).toEqual([]);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = (port: number, host: string) => call(gateway.port(port), '/', { host });

test('both kinds serve, each its own routes', async () => {
  await eventually('both serve', async () => {
    const answers = await Promise.all([get(80, 'set.example.com'), get(8080, 'any.example.com')]);
    return answers.every((a) => echoOf(a).service === 'one');
  });
  expect((await get(80, 'gw.example.com')).status).toBe(404);
});

test('a legacy set goes, and its listener with it', async () => {
  await gateway.remove('legacy.yaml');
  await eventually('its port is closed', async () =>
    get(8080, 'any.example.com').then(
      () => false,
      () => true,
    ),
  );
  expect(echoOf(await get(80, 'set.example.com')).service).toBe('one');
});
