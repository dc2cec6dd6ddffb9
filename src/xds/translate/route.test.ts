import { describe, expect, test } from 'vitest';
import type { RoutePolicies } from '../../ir/policy.ts';
import type { HttpMatch, PathRewrite, Redirect, RouteAction, RouteRule, WeightedBackend } from '../../ir/route.ts';
import { type RoutePlace, routeOf } from './route.ts';

const origin = { group: 'g', kind: 'HTTPRoute', namespace: 'd', name: 'r' };
const place: RoutePlace = { host: 'a.example.com', entry: { scheme: 'http', port: 80 } };
const matchOf = (prefix: string): HttpMatch => ({ path: { type: 'prefix', value: prefix }, headers: [], queryParams: [] });

function translated(
  action: RouteAction,
  { prefix = '/', at = place, policies = {} }: { prefix?: string; at?: RoutePlace; policies?: RoutePolicies } = {},
) {
  const match = matchOf(prefix);
  const rule: RouteRule = { name: 'r', origin, matches: [match], action, policies };
  return routeOf(rule, match, 0, at);
}

const forward = (backends: readonly WeightedBackend[], pathRewrite?: PathRewrite): RouteAction => ({
  type: 'forward',
  backends,
  mirrors: [],
  ...(pathRewrite && { pathRewrite }),
});

/** What Envoy makes of a path, for the two forms that a rewrite takes. */
function rewritten(prefix: string, value: string, path: string): string {
  const { route } = translated(forward([{ cluster: 'c', weight: 1 }], { type: 'prefix', matched: prefix, value }), { prefix });
  if (route?.prefix_rewrite !== undefined) return route.prefix_rewrite + path.slice(prefix.length);
  if (!route?.regex_rewrite) return path;
  const { pattern, substitution } = route.regex_rewrite;
  return path.replace(new RegExp(pattern?.regex ?? ''), () => (substitution ?? '').replaceAll('\\\\', '\\'));
}

describe('ReplacePrefixMatch', () => {
  // Gateway API: HTTPPathModifier.replacePrefixMatch. Prefixes come without their trailing slash (httproute-match.ts).
  test.each([
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/f.o/x', '/f.o', '/', '/x'],
    ['/bar', '/', '/xyz', '/xyz/bar'],
    ['/bar', '/', '/x\\1', '/x\\1/bar'],
    ['/bar', '/', '/', '/bar'],
  ])('%s under %s replaced by %j becomes %s', (path, prefix, value, expected) => {
    expect(rewritten(prefix, value, path)).toBe(expected);
  });
});

describe('the authority of a redirect', () => {
  const on = (port: number, scheme: 'http' | 'https' = 'http', host = 'a.example.com'): RoutePlace => ({ host, entry: { scheme, port } });
  // Gateway API: HTTPRequestRedirectFilter.port.
  test.each<[string, Partial<Redirect>, RoutePlace, object]>([
    ['nothing, default port', {}, on(80), {}],
    ['nothing, default port of HTTPS', {}, on(443, 'https'), {}],
    ['nothing, another port', {}, on(8080), { port_redirect: 8080 }],
    ['nothing, HTTP on the port of HTTPS', {}, on(443), { port_redirect: 443 }],
    ['hostname', { hostname: 'b' }, on(80), { host_redirect: 'b' }],
    ['hostname, another port', { hostname: 'b' }, on(8080), { host_redirect: 'b', port_redirect: 8080 }],
    ['scheme', { scheme: 'https' }, on(80), { scheme_redirect: 'https', host_redirect: 'a.example.com' }],
    ['scheme, another port', { scheme: 'https' }, on(8080), { scheme_redirect: 'https', host_redirect: 'a.example.com' }],
    ['scheme, wildcard', { scheme: 'https' }, on(80, 'http', '*.example.com'), { scheme_redirect: 'https' }],
    ['scheme, wildcard, another port', { scheme: 'https' }, on(8080, 'http', '*'), { scheme_redirect: 'https', port_redirect: 443 }],
    ['the same scheme, wildcard', { scheme: 'https' }, on(443, 'https', '*'), { scheme_redirect: 'https', port_redirect: 443 }],
    ['port', { port: 8443 }, on(80), { port_redirect: 8443 }],
    ['default port', { port: 80 }, on(8080), { host_redirect: 'a.example.com' }],
    ['port that is default for another scheme', { port: 80 }, on(443, 'https'), { port_redirect: 80 }],
    ['scheme and default port', { scheme: 'https', port: 443, hostname: 'b' }, on(80), { scheme_redirect: 'https', host_redirect: 'b' }],
  ])('%s', (_name, redirect, at, expected) => {
    const { response_code: _code, ...authority } =
      translated({ type: 'redirect', redirect: { status: 302, ...redirect } }, { at }).redirect ?? {};
    expect(authority).toEqual(expected);
  });
});

describe('backends', () => {
  test('one needs no weights; a share of 0 is none; without any the answer is 500', () => {
    expect(
      translated(
        forward([
          { cluster: 'a', weight: 5 },
          { cluster: 'b', weight: 0 },
        ]),
      ).route?.cluster,
    ).toBe('a');
    expect(translated(forward([{ weight: 1 }])).route?.cluster).toBe('invalid-backend');
    for (const none of [[], [{ cluster: 'a', weight: 0 }]]) expect(translated(forward(none)).direct_response).toEqual({ status: 500 });
  });

  test('what is said of a single backend keeps it weighted', () => {
    const { route } = translated(forward([{ cluster: 'a', weight: 1, hostRewrite: 'b.example.com' }]));
    expect(route?.weighted_clusters?.clusters).toMatchObject([{ name: 'a', host_rewrite_literal: 'b.example.com' }]);
  });

  test('without a timeout of the user there is none', () => {
    expect(translated(forward([{ cluster: 'a', weight: 1 }])).route?.timeout).toEqual({ seconds: 0, nanos: 0 });
    const policies = { timeouts: { requestMs: 1500, streamIdleMs: 0 } };
    const { route } = translated(forward([{ cluster: 'a', weight: 1 }]), { policies });
    expect([route?.timeout, route?.idle_timeout]).toEqual([
      { seconds: 1, nanos: 500_000_000 },
      { seconds: 0, nanos: 0 },
    ]);
  });
});

test('headers of the rule come before those of its policies', () => {
  const set = (value: string) => ({ set: [{ name: 'x', value }], add: [], remove: [`gone-${value}`] });
  const rule: RouteRule = {
    name: 'r',
    origin,
    matches: [matchOf('/')],
    action: forward([{ cluster: 'a', weight: 1 }]),
    requestHeaders: set('rule'),
    policies: { headers: { request: set('policy') } },
  };
  const route = routeOf(rule, matchOf('/'), 0, place);
  expect(route.request_headers_to_add?.map((h) => h.header?.value)).toEqual(['rule', 'policy']);
  expect(route.request_headers_to_remove).toEqual(['gone-rule', 'gone-policy']);
});
