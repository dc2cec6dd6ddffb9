import { afterEach, expect, test } from 'vitest';
import { nobodysKey } from '../istio/jwks.ts';
import { type Jwks, jwksKey } from '../istio/requestauthentication.ts';
import { Graph, source } from '../krt/index.ts';
import { until } from '../kube/testing/until.ts';
import { type JwksFetcher, fetchJwks } from './jwks.ts';
import { createLogger } from './log.ts';

const uri = 'https://issuer.example/keys';
const key = jwksKey({ by: 'uri', uri });
/** As it is served, and as it is kept. */
const served = (kid: string): string => JSON.stringify({ keys: [{ kty: 'oct', kid, k: 'AA' }] });
const keySet = (kid: string): string => JSON.stringify({ keys: [{ kty: 'oct', kid, k: 'AA' }, nobodysKey] });
let fetcher: JwksFetcher | undefined;
afterEach(() => fetcher?.stop());

/** A fetcher of `wanted` before a server that answers by `answer`. */
function start(answer: (url: string, call: number) => Response | Error, wantedKey = key) {
  const graph = new Graph({ schedule: () => {} });
  const wanted = source<{ key: string }>(graph, { name: 'Wanted', key: (w) => w.key });
  const target = source<Jwks>(graph, { name: 'Jwks', key: (j) => j.key });
  target.markSynced();
  wanted.set({ key: wantedKey });
  wanted.markSynced();
  const calls: string[] = [];
  const get = ((url: string, init?: RequestInit) => {
    expect(init?.redirect).toBe('error');
    calls.push(url);
    const answered = answer(url, calls.length);
    return answered instanceof Error ? Promise.reject(answered) : Promise.resolve(answered);
  }) as typeof fetch;
  fetcher = fetchJwks(wanted, target, { log: createLogger('error', 2), fetch: get, refreshMs: 20, retryMs: 5 });
  graph.flush();
  return { graph, wanted, target, calls, settled: () => fetcher?.settled() };
}

test('a set is there when the first attempts are over, and follows a rotation', async () => {
  const { target, calls, settled } = start((_url, call) => new Response(served(call < 3 ? 'old' : 'new')));
  await settled();
  expect(target.get(key)).toEqual({ key, document: keySet('old') });
  await until(() => target.get(key)?.document === keySet('new'), 'the new set is there');
  expect(new Set(calls)).toEqual(new Set([uri]));
});

test('the last good set stays through an outage, and the problem goes with it', async () => {
  const { target, settled } = start((_url, call) => (call === 2 ? new Response('', { status: 503 }) : new Response(served('a'))));
  await settled();
  await until(() => target.get(key)?.problem !== undefined, 'the outage is known');
  expect(target.get(key)).toEqual({
    key,
    document: keySet('a'),
    problem: `keys of ${uri} cannot be fetched: ${uri} answers with status 503`,
  });
  await until(() => target.get(key)?.problem === undefined, 'the outage is over');
});

test.each<[string, () => Response | Error, RegExp]>([
  ['no connection', () => new Error('fetch failed', { cause: new Error('ECONNREFUSED') }), /fetch failed: ECONNREFUSED/],
  ['no key set', () => new Response('<html>'), /is no JWK Set/],
  ['too much', () => new Response('x'.repeat((1 << 20) + 1)), /more than 1048576 bytes/],
])('%s: no keys, and why', async (_name, answer, problem) => {
  const { target, settled } = start(answer);
  await settled();
  expect(target.get(key)?.document).toBeUndefined();
  expect(target.get(key)?.problem).toMatch(problem);
});

test('discovery asks the issuer where its keys are', async () => {
  const discovery = jwksKey({ by: 'discovery', uri: 'https://issuer.example/' });
  const answers: Record<string, string> = {
    'https://issuer.example/.well-known/openid-configuration': JSON.stringify({ jwks_uri: 'https://keys.example/set' }),
    'https://keys.example/set': served('a'),
  };
  const { target, settled } = start((url) => new Response(answers[url] ?? '', { status: answers[url] ? 200 : 404 }), discovery);
  await settled();
  expect(target.get(discovery)).toEqual({ key: discovery, document: keySet('a') });
});

test('discovery does not leave https', async () => {
  const discovery = jwksKey({ by: 'discovery', uri: 'https://issuer.example' });
  const { target, settled, calls } = start(() => new Response(JSON.stringify({ jwks_uri: 'http://10.0.0.1/' })), discovery);
  await settled();
  expect(target.get(discovery)?.problem).toMatch(/names no jwks_uri with https/);
  expect(calls.every((url) => url.startsWith('https://issuer.example/'))).toBe(true);
});

test('what nobody wants any more goes', async () => {
  const { graph, wanted, target, settled } = start(() => new Response(served('a')));
  await settled();
  wanted.delete(key);
  graph.flush();
  expect(target.get(key)).toBeUndefined();
});
