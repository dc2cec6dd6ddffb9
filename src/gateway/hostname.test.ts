import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { covers, intersect, mostSpecific, servedHosts, wildcardsAbove } from './hostname.ts';

test.each([
  ['*', 'a.example.com', true],
  ['*', '*.example.com', true],
  ['*.example.com', 'a.example.com', true],
  ['*.example.com', 'a.b.example.com', true],
  ['*.example.com', '*.b.example.com', true],
  ['*.example.com', 'example.com', false],
  ['*.example.com', '.example.com', false],
  ['*.example.com', 'aexample.com', false],
  ['*.example.com', '*', false],
  ['*.b.example.com', '*.example.com', false],
  ['a.example.com', 'a.example.com', true],
  ['a.example.com', '*.example.com', false],
])('%s covers %s: %j', (pattern, host, expected) => {
  expect(covers(pattern, host)).toBe(expected);
});

test('wildcards above a host are those that cover it, and no others', () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const hosts = fc.oneof(
    name,
    name.map((n) => `*.${n}`),
    fc.constant('*'),
  );
  fc.assert(
    fc.property(hosts, hosts, (pattern, host) => {
      const covered = pattern.startsWith('*') && pattern !== host && covers(pattern, host);
      expect(wildcardsAbove(host).includes(pattern)).toBe(covered);
    }),
  );
});

// Gateway API: HTTPRouteSpec.hostnames.
test.each([
  [undefined, undefined, ['*']],
  ['*.example.com', undefined, ['*.example.com']],
  ['*.example.com', [], ['*.example.com']],
  ['test.example.com', ['*.example.com', 'test.example.com'], ['test.example.com']],
  ['*.example.com', ['*.example.com', 'foo.example.com', 'example.com', 'foo.example.net'], ['*.example.com', 'foo.example.com']],
  ['Example.COM', ['EXAMPLE.com'], ['example.com']],
  ['a.example.com', ['b.example.com'], []],
])('listener %s with hostnames %j serves %j', (listener, hostnames, hosts) => {
  expect(servedHosts(listener, hostnames)).toEqual(hosts);
});

test.each([
  [['*.b', 'a.b'], 'a.b', 'a.b'],
  [['a.b', '*.b'], 'a.b', 'a.b'],
  [['*', '*.com', '*.example.com'], 'x.example.com', '*.example.com'],
  [['*.example.com', '*'], 'example.com', '*'],
  [['*.example.com'], 'example.com', undefined],
])('of %j the owner of %s is %s', (hostnames, host, owner) => {
  expect(mostSpecific(hostnames, host)).toBe(owner);
});

const label = fc.constantFrom('a', 'b', 'cc');
const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
const hostname = fc.oneof(
  name,
  name.map((n) => `*.${n}`),
  fc.constant('*'),
);

test('an intersection is covered by both, whichever comes first', () => {
  fc.assert(
    fc.property(hostname, hostname, (a, b) => {
      const both = intersect(a, b);
      expect(intersect(b, a)).toBe(both);
      if (both !== undefined) expect([covers(a, both), covers(b, both)]).toEqual([true, true]);
    }),
  );
});

test('no other hostname that covers the host is covered by its owner', () => {
  fc.assert(
    fc.property(fc.uniqueArray(hostname, { maxLength: 6 }), name, (hostnames, host) => {
      const owner = mostSpecific(hostnames, host);
      const covering = hostnames.filter((h) => covers(h, host));
      expect(covering.every((other) => owner !== undefined && covers(other, owner))).toBe(true);
    }),
  );
});
