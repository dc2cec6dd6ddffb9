import { expect, test } from 'vitest';
import type { SessionPersistence } from '../kube/types/gateway-api.ts';
import type { Problem } from '../policy/problem.ts';
import { choosesByRequest, sessionOf } from './session-persistence.ts';

const translate = (spec: SessionPersistence, rule = 'httproute/default/r/0') => {
  const problems: Problem[] = [];
  return { session: sessionOf(spec, rule, 'at', problems), problems };
};

test.each<[SessionPersistence, object]>([
  [{ sessionName: 'sid' }, { type: 'cookie', name: 'sid' }],
  [
    { type: 'Header', sessionName: 'X-Session' },
    { type: 'header', name: 'x-session' },
  ],
  [
    { sessionName: 'sid', absoluteTimeout: '1h30m', cookieConfig: { lifetimeType: 'Permanent' } },
    { type: 'cookie', name: 'sid', lifetimeMs: 5_400_000 },
  ],
])('%j', (spec, session) => {
  expect(translate(spec)).toEqual({ session, problems: [] });
});

test('names are made for those without, one a rule, and stay', () => {
  const name = (rule: string) => translate({}, rule).session?.name;
  expect(name('a')).toMatch(/^session-[0-9a-f]{12}$/);
  expect(name('a')).toBe(name('a'));
  expect(name('a')).not.toBe(name('b'));
});

test.each<[SessionPersistence, string]>([
  [{ absoluteTimeout: '1h' }, 'lifetimeType Session'],
  [{ absoluteTimeout: '1h', cookieConfig: { lifetimeType: 'Session' } }, 'lifetimeType Session'],
  [{ type: 'Header', absoluteTimeout: '1h' }, 'in a header'],
  [{ absoluteTimeout: '500ms', cookieConfig: { lifetimeType: 'Permanent' } }, 'at least 1s'],
  [{ sessionName: 'a;b' }, 'cannot name a cookie'],
  [{ type: 'Header', sessionName: 'a b' }, 'cannot name a header'],
  [{ type: 'Header', sessionName: 'Host' }, 'meaning of its own'],
  [{ type: 'Header', sessionName: 'X-Envoy-Upstream-Rq-Timeout-Ms' }, 'meaning of its own'],
])('%j is refused: %s', (spec, message) => {
  expect(
    translate(spec)
      .problems.map((p) => p.message)
      .join(),
  ).toContain(message);
});

test('what chooses an endpoint for each request takes no sessions', () => {
  const service = {
    name: 'c',
    statName: 'c',
    protocol: 'http1',
    service: 'default/a',
    portName: 'http',
    origin: { group: '', kind: 'Service', namespace: 'default', name: 'a' },
  } as const;
  expect(choosesByRequest(service)).toBe(false);
  expect(choosesByRequest({ ...service, discovery: { from: 'static', endpoints: [] } })).toBe(false);
  expect(choosesByRequest({ ...service, inference: 'pool' })).toBe(true);
  expect(choosesByRequest({ ...service, discovery: { from: 'host' } })).toBe(true);
});
