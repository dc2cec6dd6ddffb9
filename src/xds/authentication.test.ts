import { expect, test } from 'vitest';
import { authenticator, bearerToken, scopeOfRole } from './authentication.ts';

const tokens = new Map([
  ['good.token', { namespace: 'web', serviceAccount: 'gw' }],
  ['other.token', { namespace: 'web', serviceAccount: 'default' }],
]);
const authenticate = authenticator(
  (token) => Promise.resolve(tokens.get(token) ?? { error: `token ${token} has expired` }),
  (scope) => (scope === 'web/gw' ? { namespace: 'web', serviceAccount: 'gw' } : undefined),
);

test('the role names the scope', () => {
  expect(scopeOfRole('kgateway-kube-gateway-api~web~gw')).toBe('web/gw');
  for (const bad of [undefined, '', 'web~gw', 'kgateway-kube-gateway-api~web', 'kgateway-kube-gateway-api~a~b~c']) {
    expect(scopeOfRole(bad)).toBeUndefined();
  }
});

test('the token comes from a bearer header', () => {
  expect(bearerToken('Bearer a.b-c_d')).toBe('a.b-c_d');
  expect(bearerToken('bearer abc==')).toBe('abc==');
  for (const bad of [undefined, '', 'Bearer', 'Bearer ', 'Basic abc', 'Bearer a b']) expect(bearerToken(bad)).toBeUndefined();
});

test('the account of the Gateway is let in', async () => {
  expect(await authenticate('Bearer good.token', 'web/gw')).toEqual({ ok: true, identity: { namespace: 'web', serviceAccount: 'gw' } });
});

test('without a token: UNAUTHENTICATED, with the next step', async () => {
  expect(await authenticate(undefined, 'web/gw')).toMatchObject({
    ok: false,
    code: 'UNAUTHENTICATED',
    message: expect.stringContaining('audience'),
  });
});

test('a bad token is never repeated', async () => {
  const result = await authenticate('Bearer bad.token', 'web/gw');
  expect(result).toMatchObject({ ok: false, code: 'UNAUTHENTICATED' });
  expect(JSON.stringify(result)).not.toContain('bad.token');
});

test('another account and another Gateway: PERMISSION_DENIED, in the same words', async () => {
  expect(await authenticate('Bearer other.token', 'web/gw')).toMatchObject({ ok: false, code: 'PERMISSION_DENIED' });
  expect(await authenticate('Bearer good.token', 'web/none')).toMatchObject({ ok: false, code: 'PERMISSION_DENIED' });
});

test('nobody to ask: UNAVAILABLE, so that the proxy retries', async () => {
  const down = authenticator(
    () => Promise.reject(new Error('connection refused')),
    () => undefined,
  );
  expect(await down('Bearer good.token', 'web/gw')).toMatchObject({ ok: false, code: 'UNAVAILABLE' });
});
