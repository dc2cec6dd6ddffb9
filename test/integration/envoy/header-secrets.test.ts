/** Headers of a TrafficPolicy out of Secrets, through a real Envoy: as they are in the Secret, following it, and 500 while one is missing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Backend, gatewayOf, policyOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

let gateway: LocalGateway;
let one: Backend;

const secret = (token: string): string => `---
apiVersion: v1
kind: Secret
metadata: { name: tokens }
stringData: { x-token: '${token}', answer: 'forty two' }
`;

beforeAll(async () => {
  one = await startBackend('one');
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(one),
      'routes.yaml': routeOf('main', ['a.example.com'], [ruleOf('{ path: { value: / } }')]),
      'policy.yaml': policyOf(
        'main',
        `headerModifiers: {
          request: { set: [{ secretRef: { name: tokens, key: x-token } }, { name: x-answer, secretRef: { name: tokens, key: answer } }] },
          response: { add: [{ name: x-answer, secretRef: { name: tokens, key: answer } }] } }`,
      ),
      'secret.yaml': secret('100% %PROTOCOL%'),
    },
    [80],
  );
  await eventually('Envoy serves', async () => (await get()).status === 200);
});

afterAll(async () => {
  expect(gateway.rejections()).toEqual([]);
  expect(gateway.problems()).toEqual([]);
  await gateway.stop();
  one.close();
});

const get = () => call(gateway.port(80), '/', { headers: { 'x-token': 'of the client' } });

test('values arrive as they are in the Secret, in place of those of the client', async () => {
  const answer = await get();
  expect(echoOf(answer).headers).toMatchObject({ 'x-token': '100% %PROTOCOL%', 'x-answer': 'forty two' });
  expect(answer.headers['x-answer']).toBe('forty two');
});

test('a changed Secret counts at once; without it nothing passes, and the status says why', async () => {
  await gateway.write('secret.yaml', secret('changed'));
  await eventually('the value has changed', async () => echoOf(await get()).headers['x-token'] === 'changed');
  await gateway.remove('secret.yaml');
  await eventually('nothing passes without the token', async () => (await get()).status === 500);
  expect(JSON.stringify(gateway.status('TrafficPolicy default/main'))).toContain('Secret default/tokens not found');
  await gateway.write('secret.yaml', secret('back'));
  await eventually('it serves again', async () => (await get()).status === 200);
});
