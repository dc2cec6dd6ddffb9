/** Tokens at an ingress: the same on exact hosts, whose scope is their own, as on wildcard hosts, which are found by falling back. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, gatewayOf, routeOf, ruleOf, serviceOf, startBackend } from '../backend.ts';
import { type LocalGateway, call, echoOf, eventually, startLocalGateway } from '../local.ts';

const keys = { one: generateKeyPairSync('rsa', { modulusLength: 2048 }), two: generateKeyPairSync('rsa', { modulusLength: 2048 }) };
const keySet = (name: keyof typeof keys): string =>
  JSON.stringify({ keys: [{ ...keys[name].publicKey.export({ format: 'jwk' }), kid: name, alg: 'RS256', use: 'sig' }] });

function token(key: keyof typeof keys, claims: Readonly<Record<string, unknown>>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'RS256', kid: key })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${text}.${sign('sha256', Buffer.from(text), keys[key].privateKey).toString('base64url')}`;
}

const target = 'targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: gw }]';
const policies = (jwks: string): string => `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: tokens }
spec:
  ${target}
  jwtRules:
    - { issuer: 'https://one.example', jwks: '${jwks}', audiences: [echo], outputClaimToHeaders: [{ header: x-user, claim: sub }] }
    - { issuer: 'https://two.example', jwks: '${keySet('two')}', forwardOriginalToken: true, fromHeaders: [{ name: x-token }] }
    - { issuer: 'https://junk.example', jwks: '{"keys":[1,{},{"kty":"RSA","n":1},{"kty":"what"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AA","e":"AA"},{"kty":"oct","k":""}]}' }
    - { issuer: 'https://unreachable.example', jwksUri: 'https://unreachable.example/keys' }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: users }
spec:
  ${target}
  rules:
    - { from: [{ source: { requestPrincipals: ['*'] } }] }
    - { to: [{ operation: { paths: [/public] } }] }
`;

let gateway: LocalGateway;
let backend: Backend;

beforeAll(async () => {
  backend = await startBackend('one');
  gateway = await startLocalGateway(
    {
      'gateway.yaml': gatewayOf('{ name: http, protocol: HTTP, port: 80 }'),
      'backends.yaml': serviceOf(backend),
      'routes.yaml': routeOf('r', ['exact.example.com', '*.wild.example.com'], [ruleOf(`{ path: { value: / } }`)]),
      'policies.yaml': policies(keySet('one')),
    },
    [80],
  );
  await eventually('policies hold', async () => (await call(gateway.port(80), '/', { host: 'exact.example.com' })).status === 403);
});

afterAll(async () => {
  await gateway.stop();
  backend.close();
});

describe.each(['exact.example.com', 'a.wild.example.com', 'EXACT.example.com'])('%s', (host) => {
  const ask = (path: string, headers: Readonly<Record<string, string>> = {}) => call(gateway.port(80), path, { host, headers });
  const bearer = (text: string): Readonly<Record<string, string>> => ({ authorization: `Bearer ${text}` });
  const good = { iss: 'https://one.example', sub: 'alice', aud: 'echo' };

  test('without a token a request is anonymous', async () => {
    expect((await ask('/')).status).toBe(403);
    expect((await ask('/public')).status).toBe(200);
  });

  test('a valid token opens; the backend gets its claims and not the token', async () => {
    const answer = await ask('/', { ...bearer(token('one', good)), 'x-user': 'forged' });
    const { headers } = echoOf(answer);
    expect(headers['x-user']).toBe('alice');
    expect(headers['authorization']).toBeUndefined();
  });

  test('an issuer with a place of its own, whose token goes on', async () => {
    const text = token('two', { iss: 'https://two.example', sub: 'bob' });
    expect(echoOf(await ask('/', { 'x-token': text })).headers['x-token']).toBe(text);
  });

  test('a token for another audience is refused', async () => {
    expect((await ask('/public', bearer(token('one', { ...good, aud: 'other' })))).status).toBe(403);
  });

  test.each([
    ['of another issuer', () => token('one', { ...good, iss: 'https://other.example' })],
    ['that has expired', () => token('one', { ...good, exp: 1 })],
    ['of an issuer whose keys are junk', () => token('one', { ...good, iss: 'https://junk.example' })],
    ['with the key of another issuer', () => token('two', good)],
    ['whose issuer’s keys cannot be had', () => token('two', { ...good, iss: 'https://unreachable.example' })],
    ['that is no token', () => 'nonsense'],
  ])('a token %s is refused, even where nobody needs one', async (_what, text) => {
    expect((await ask('/public', bearer(text()))).status).toBe(401);
  });
});

test('a key that rotates holds at once, on connections that stay', async () => {
  const text = token('two', { iss: 'https://one.example', sub: 'alice', aud: 'echo' });
  const ask = () => call(gateway.port(80), '/', { host: 'exact.example.com', headers: { authorization: `Bearer ${text}` } });
  expect((await ask()).status).toBe(401);
  await gateway.write('policies.yaml', policies(keySet('two')));
  await eventually('the new key holds', async () => (await ask()).status === 200);
  expect(gateway.rejections()).toEqual([]);
});
