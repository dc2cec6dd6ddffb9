import { describe, expect, test } from 'vitest';
import type { Endpoint, Place } from '../../ir/backend.ts';
import { type LocalityPolicy, parseLocality } from '../../ir/locality.ts';
import { endpointGroups } from './locality.ts';

/** `a: r1/z1/s1` and labels. */
function endpoint(name: string, locality: string, labels: Readonly<Record<string, string>> = {}, weight?: number): Endpoint {
  return { address: name, port: 80, at: { ...parseLocality(locality), labels }, ...(weight && { weight }) };
}

function groups(endpoints: readonly Endpoint[], policy: LocalityPolicy, place: Place, proxyLabels: Record<string, string> = {}) {
  return endpointGroups(endpoints, { policy, proxyLabels }, place);
}

/** Names by priority. */
function ranked(...input: Parameters<typeof groups>): readonly string[] {
  const out: string[] = [];
  for (const { priority, endpoints } of groups(...input)) out[priority] = (out[priority] ?? '') + endpoints.map((e) => e.address).join('');
  return out.map((names) => names.split('').sort().join(''));
}

/** Weight of each name's group. */
function weights(...input: Parameters<typeof groups>): Readonly<Record<string, number | undefined>> {
  return Object.fromEntries(groups(...input).map((g) => [g.endpoints.map((e) => e.address).join(''), g.weight]));
}

const failover = (regions: readonly { from: string; to: string }[] = [], labels: readonly string[] = []): LocalityPolicy => ({
  by: 'failover',
  regions,
  labels,
  byDefault: false,
});

describe('failover', () => {
  const all = [
    endpoint('a', 'r1/z1/s1'),
    endpoint('b', 'r1/z1/s2'),
    endpoint('c', 'r1/z2'),
    endpoint('d', 'r2/z1'),
    endpoint('e', 'r3/z1'),
    endpoint('f', ''),
  ];

  test.each<[Place, readonly string[]]>([
    [{ region: 'r1', zone: 'z1', subzone: 's1' }, ['a', 'b', 'c', 'def']],
    [{ region: 'r1', zone: 'z2' }, ['c', 'ab', 'def']],
    [{ region: 'r1', zone: 'z9' }, ['abc', 'def']],
    [{ region: 'r9', zone: 'z1' }, ['abcdef']],
    [{}, ['abcdef']],
  ])('goes by place, seen from %j', (place, expected) => {
    expect(ranked(all, failover(), place)).toEqual(expected);
  });

  test('a zone without a region is that zone in any', () => {
    expect(ranked(all, failover(), { zone: 'z2' })).toEqual(['c', 'f', 'abde']);
    expect(ranked([{ address: 'x', port: 80, zone: 'z1' }, ...all], failover(), { region: 'r1', zone: 'z1', subzone: 's1' })[1]).toBe('bx');
  });

  test('goes to the region that is named before all others', () => {
    expect(ranked(all, failover([{ from: 'r1', to: 'r3' }]), { region: 'r1', zone: 'z2' })).toEqual(['c', 'ab', 'e', 'df']);
    expect(ranked(all, failover([{ from: 'r2', to: 'r3' }]), { region: 'r1', zone: 'z2' })).toEqual(['c', 'ab', 'def']);
  });

  test('goes by labels, each of which counts only behind the ones before it', () => {
    const labelled = [
      endpoint('a', 'r1/z1', { version: 'v1', track: 'x' }),
      endpoint('b', 'r2/z1', { version: 'v1', track: 'y' }),
      endpoint('c', 'r1/z1', { version: 'v2', track: 'x' }),
      endpoint('d', 'r1/z1'),
    ];
    const place = { region: 'r1', zone: 'z1' };
    expect(ranked(labelled, failover([], ['version=v1', 'track=x']), place)).toEqual(['a', 'b', 'cd']);
    expect(ranked(labelled, failover([], ['version', 'track']), place, { version: 'v2', track: 'x' })).toEqual(['c', 'abd']);
    expect(ranked(labelled, failover([], ['topology.kubernetes.io/region', 'version=v2']), place)).toEqual(['c', 'ad', 'b']);
    expect(ranked(labelled, failover([{ from: 'r2', to: 'r1' }], ['version=v1']), { region: 'r2' })).toEqual(['b', 'a', 'cd']);
  });

  test('keeps the order of labels in another network', () => {
    const labels = ['topology.istio.io/network', 'version=v1'];
    const networks = [
      endpoint('a', '', { version: 'v1' }),
      endpoint('b', ''),
      endpoint('c', '', { version: 'v1', 'topology.istio.io/network': 'n2' }),
      endpoint('d', '', { 'topology.istio.io/network': 'n2' }),
    ];
    expect(ranked(networks, failover([], labels), {})).toEqual(['a', 'b', 'c', 'd']);
  });

  test('knows the node of the proxy', () => {
    const nodes = ['n1', 'n2'].map((node): Endpoint => ({ address: node, port: 80, at: { node } }));
    expect(ranked(nodes, failover([], ['kubernetes.io/hostname']), { node: 'n2' })).toEqual(['2n', '1n']);
  });
});

describe('shares', () => {
  const all = [endpoint('a', 'r1/z1'), endpoint('b', 'r1/z1'), endpoint('c', 'r1/z2'), endpoint('d', 'r2/z1'), endpoint('e', 'r2/z2')];
  const shares = (from: string, to: Readonly<Record<string, number>>): LocalityPolicy => ({
    by: 'shares',
    shares: [{ from, to: Object.entries(to).map(([place, weight]) => ({ place, weight })) }],
  });

  test('are those of the place of the proxy, and who has none gets nothing', () => {
    const place = { region: 'r1', zone: 'z1' };
    expect(weights(all, shares('r1/z1/*', { 'r1/z1/*': 80, 'r1/z2': 20 }), place)).toEqual({ ab: 8000, c: 2000 });
    expect(weights(all, shares('r1/*', { '*': 10, 'r1/*': 90 }), place)).toEqual({ ab: 6000, c: 3000, d: 500, e: 500 });
    expect(weights(all, shares('*', { r2: 100 }), {})).toEqual({ d: 5000, e: 5000 });
  });

  test('leave the endpoints equal elsewhere', () => {
    expect(weights(all, shares('r2/*', { r2: 100 }), { region: 'r1' })).toEqual({ ab: 2, c: 1, d: 1, e: 1 });
    const heavy = [...all, endpoint('f', 'r3', {}, 5)];
    expect(weights(heavy, shares('r2', { r2: 100 }), { region: 'r1' })).toMatchObject({ f: 5 });
  });
});

test('switched off, all are the same', () => {
  expect(ranked([endpoint('a', 'r1'), endpoint('b', 'r2')], { by: 'nothing' }, { region: 'r1' })).toEqual(['ab']);
});
