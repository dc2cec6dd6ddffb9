import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareMatches, compareOrder } from '../../ir/precedence.ts';
import type { HostRoutes, RouteRule } from '../../ir/route.ts';
import { type ScopedRouteConfiguration, type VirtualHost, decode } from '../proto/index.ts';
import { scopeKeyOf, scopeResource } from './scope.ts';

const chain = 'http-80';
const origin = { group: 'g', kind: 'HTTPRoute', namespace: 'd', name: 'r' };

function rule(name: string, path = '/'): RouteRule {
  const action = { type: 'forward' as const, backends: [{ cluster: 'c', weight: 1 }], mirrors: [] };
  return { name, origin, matches: [{ path: { type: 'prefix', value: path }, headers: [], queryParams: [] }], action, policies: {} };
}

function host(name: string, owner: string, rules: readonly RouteRule[], key = 'd/r'): HostRoutes {
  return { scope: 'd/gw', chain, host: name, owner, entry: { scheme: 'http', port: 80 }, order: { created: '', key }, rules, origin };
}

function scopesOf(items: readonly HostRoutes[]): Map<string, ScopedRouteConfiguration> {
  const scopes = new Map<string, ScopedRouteConfiguration>();
  for (const group of Map.groupBy(items, scopeKeyOf).values()) {
    const resource = scopeResource(group);
    if (resource) scopes.set(resource.name, decode('envoy.config.route.v3.ScopedRouteConfiguration', resource.bytes));
  }
  return scopes;
}

/** The routes that Envoy tries for a host, in order, as scope-key.ts directs it: the exact scope, then the wildcards. */
function tried(scopes: ReadonlyMap<string, ScopedRouteConfiguration>, name: string): readonly string[] {
  const names = (v: VirtualHost | undefined): string[] => (v?.routes ?? []).map((r) => r.name ?? '');
  const exact = names(scopes.get(`${chain}:${name}`)?.route_configuration?.virtual_hosts?.[0]);
  const end = exact.findIndex((route) => route.endsWith('/no-route'));
  if (end !== -1) return exact.slice(0, end);
  const wildcards = scopes.get(`${chain}:*`)?.route_configuration?.virtual_hosts ?? [];
  const covering = wildcards.filter((v) => (v.domains ?? []).some((d) => d === '*' || name.endsWith(d.slice(1))));
  // Envoy: the longest suffix wins.
  const [best] = covering.toSorted((a, b) => (b.domains?.[0]?.length ?? 0) - (a.domains?.[0]?.length ?? 0));
  return [...exact, ...names(best)];
}

describe('a host is served by the routes of its listener only, most specific hostname first', () => {
  const label = fc.constantFrom('a', 'b');
  const domain = fc.array(label, { minLength: 1, maxLength: 3 }).map((l) => l.join('.'));
  const pattern = fc.oneof(
    domain,
    domain.map((d) => `*.${d}`),
    fc.constant('*'),
  );
  const covers = (p: string, h: string): boolean =>
    p === '*' || p === h || (p.startsWith('*.') && h.endsWith(p.slice(1)) && h.length >= p.length);
  const rank = (p: string): number => (p === '*' ? 0 : p.startsWith('*') ? p.length : 1000);
  const ownerOf = (listeners: readonly string[], h: string): string | undefined =>
    listeners.filter((l) => covers(l, h)).toSorted((a, b) => rank(b) - rank(a))[0];

  test('for any listeners, routes and hosts', () => {
    const input = fc.record({
      listeners: fc.uniqueArray(pattern, { minLength: 1, maxLength: 4 }),
      routes: fc.array(fc.record({ host: pattern, path: fc.constantFrom('/', '/x', '/xy') }), { maxLength: 8 }),
      request: domain,
    });
    fc.assert(
      fc.property(input, ({ listeners, routes, request }) => {
        const placed = routes.flatMap(({ host: h, path }, i) => {
          const owner = ownerOf(listeners, h);
          return owner === undefined ? [] : [host(h, owner, [rule(`r${i}`, path)], `d/r${i}`)];
        });
        const boundaries = listeners.length > 1 ? listeners.map((l) => host(l, l, [], '')) : [];
        const owner = ownerOf(listeners, request);
        const expected = placed
          .filter((p) => p.owner === owner && covers(p.host, request))
          .toSorted(
            (a, b) =>
              rank(b.host) - rank(a.host) ||
              compareMatches(a.rules[0]?.matches[0] ?? never(), b.rules[0]?.matches[0] ?? never()) ||
              compareOrder(a.order, b.order),
          )
          .map((p) => p.rules[0]?.name);
        expect(tried(scopesOf([...boundaries, ...placed]), request)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });
});

function never(): never {
  throw new Error('every rule here has a match');
}

test('the order of what comes in does not matter', () => {
  const items = [
    host('*', '*', [rule('all')], 'd/c'),
    host('*.b', '*', [rule('one'), rule('two', '/x')], 'd/b'),
    host('*.b', '*', [rule('three')], 'd/a'),
  ];
  const versions = [items, items.toReversed(), [items[1], items[0], items[2]]].map(
    (order) => scopeResource(order.flatMap((i) => i ?? []))?.version,
  );
  expect(new Set(versions).size).toBe(1);
});

test('clusters and origins of a scope are those of its rules, once each', () => {
  const resource = scopeResource([host('a.b', '*', [rule('one'), rule('two', '/x')]), host('a.b', '*', [rule('three', '/y')])]);
  expect(resource?.clusters).toEqual(['c']);
  expect(resource?.origins).toEqual([origin]);
});
