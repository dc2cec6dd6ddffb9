import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareMatches, compareOrder } from './precedence.ts';
import type { HttpMatch, PathMatch } from './route.ts';

const named = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ name: `n${i}`, value: { type: 'exact' as const, value: 'x' } }));
const match = (path: PathMatch, more: { method?: string; headers?: number; queryParams?: number } = {}): HttpMatch => ({
  path,
  ...(more.method !== undefined && { method: more.method }),
  headers: named(more.headers ?? 0),
  queryParams: named(more.queryParams ?? 0),
});
const prefix = (value: string): PathMatch => ({ type: 'prefix', value });

// Gateway API: HTTPRouteRule.matches.
test('exact, regular expression, prefix by length, method, headers, query parameters', () => {
  const inOrder: readonly HttpMatch[] = [
    match({ type: 'exact', value: '/longer' }),
    match({ type: 'exact', value: '/a' }),
    match({ type: 'regex', value: '/.*' }),
    match(prefix('/longest/prefix')),
    match(prefix('/a'), { method: 'GET', headers: 2 }),
    match(prefix('/a'), { method: 'GET' }),
    match(prefix('/a'), { headers: 2, queryParams: 1 }),
    match(prefix('/a'), { headers: 2 }),
    match(prefix('/a'), { headers: 1, queryParams: 5 }),
    match(prefix('/a'), { queryParams: 2 }),
    match(prefix('/a'), { queryParams: 1 }),
    match(prefix('/a')),
    match(prefix('/')),
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray([...inOrder.keys()], { minLength: inOrder.length }), (order) => {
      const sorted = order.map((i) => inOrder[i]).sort((a, b) => (a && b ? compareMatches(a, b) : 0));
      expect(sorted).toEqual(inOrder);
    }),
  );
});

test('older routes first, then by name in byte order', () => {
  const routes = [
    { created: '2026-01-02T00:00:00Z', key: 'a/a' },
    { created: '2026-01-01T00:00:00Z', key: 'b/a' },
    { created: '2026-01-01T00:00:00Z', key: 'a/b' },
    { created: '2026-01-01T00:00:00Z', key: 'a/B' },
  ];
  expect(routes.toSorted(compareOrder).map((r) => r.key)).toEqual(['a/B', 'a/b', 'b/a', 'a/a']);
});
