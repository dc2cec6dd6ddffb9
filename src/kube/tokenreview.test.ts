import { expect, test } from 'vitest';
import { testApiServer } from './testing/api-server.ts';
import { tokenVerifier } from './tokenreview.ts';

const good = {
  authenticated: true,
  audiences: ['kgateway'],
  user: {
    username: 'system:serviceaccount:demo:gw',
    extra: { 'authentication.kubernetes.io/pod-name': ['gw-1'], 'authentication.kubernetes.io/node-name': ['n-1'] },
  },
};
const jwt = (exp: number): string => `h.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.s`;

async function rig() {
  const server = await testApiServer([]);
  let time = 1_000_000;
  const verify = tokenVerifier(server.client, { audience: 'kgateway', size: 2, now: () => time });
  const reviews = (): number => server.requests.filter((r) => r.includes('tokenreviews')).length;
  return { server, verify, reviews, pass: (ms: number) => void (time += ms) };
}

test('a good token names its ServiceAccount, Pod and Node, and is asked about once', async () => {
  const { server, verify, reviews, pass } = await rig();
  server.review = (token, audiences) => (token === 'good' && audiences[0] === 'kgateway' ? good : { authenticated: false });
  const both = await Promise.all([verify('good'), verify('good')]);
  expect(both).toEqual([
    { namespace: 'demo', serviceAccount: 'gw', pod: 'gw-1', node: 'n-1' },
    { namespace: 'demo', serviceAccount: 'gw', pod: 'gw-1', node: 'n-1' },
  ]);
  pass(599_000);
  await verify('good');
  expect(reviews()).toBe(1);
  pass(2000);
  await verify('good');
  expect(reviews()).toBe(2);
  await server[Symbol.asyncDispose]();
});

test('a token is not believed beyond its own expiry, a refusal for ten seconds, a failure not at all', async () => {
  const { server, verify, reviews, pass } = await rig();
  server.review = () => good;
  const short = jwt(1005);
  await verify(short);
  pass(6000);
  server.review = () => ({ authenticated: false, error: 'expired' });
  expect(await verify(short)).toMatchObject({ reason: expect.stringContaining('expired') as unknown, retry: false });
  await verify(short);
  expect(reviews()).toBe(2);
  pass(10_001);
  server.fail('tokenreviews', 500);
  expect(await verify(short)).toMatchObject({ retry: true });
  await verify(short);
  expect(reviews()).toBe(4);
  await server[Symbol.asyncDispose]();
});

test.each<[string, unknown]>([
  ['not for audience', { ...good, audiences: undefined }],
  ['not for audience', { ...good, audiences: ['other'] }],
  ['is no ServiceAccount', { ...good, user: { username: 'admin' } }],
  ['is no ServiceAccount', { ...good, user: { username: 'system:node:n1' } }],
  ['refused', {}],
])('refused: %s', async (reason, status) => {
  const { server, verify } = await rig();
  server.review = () => status;
  expect(await verify('t')).toMatchObject({ reason: expect.stringContaining(reason) as unknown, retry: false });
  expect(await verify('')).toMatchObject({ retry: false });
  await server[Symbol.asyncDispose]();
});
