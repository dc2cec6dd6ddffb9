import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RoutePolicies } from '../ir/policy.ts';
import { keepHigher, mergeLevels } from './merge.ts';
import { comparePrecedence, type FieldMerges, type Policy } from './plugin.ts';
import { testPolicy } from './testing.ts';
import { effectivePolicies, routePolicyMerges, withOwnPolicies } from './trafficpolicy/trafficpolicy.ts';

const timeouts = (requestMs: number): RoutePolicies => ({ timeouts: { requestMs } });
const buffer = (maxBytes: number): RoutePolicies => ({ buffer: { maxBytes } });

describe('effectivePolicies', () => {
  test('nothing attached', () => {
    expect(effectivePolicies([])).toEqual({ policies: {}, outcomes: [], invalid: [] });
  });

  test('one policy is attached whole', () => {
    const p = testPolicy('p', { ...timeouts(1), ...buffer(2) });
    const { policies, outcomes } = effectivePolicies([[], [p]]);
    expect(policies).toEqual(p.fields);
    expect(outcomes).toEqual([{ policy: p.ref, state: 'attached' }]);
  });

  test('a less specific policy fills what is unset, field by field', () => {
    const rule = testPolicy('rule', timeouts(1));
    const route = testPolicy('route', { timeouts: { requestMs: 9, streamIdleMs: 9 }, ...buffer(2) });
    const { policies, outcomes } = effectivePolicies([[rule], [route]]);
    expect(policies).toEqual({ timeouts: { requestMs: 1 }, buffer: { maxBytes: 2 } });
    expect(outcomes.map((o) => [o.policy.name, o.state])).toEqual([
      ['rule', 'merged'],
      ['route', 'merged'],
    ]);
  });

  test('a policy that loses everything is overridden and the winner is attached', () => {
    const { outcomes } = effectivePolicies([[testPolicy('a', timeouts(1))], [testPolicy('b', timeouts(2))]]);
    expect(outcomes.map((o) => o.state)).toEqual(['attached', 'overridden']);
  });

  test('disabled is a value: a less specific one does not come back', () => {
    const { policies } = effectivePolicies([[testPolicy('a', { buffer: 'disabled' })], [testPolicy('b', buffer(2))]]);
    expect(policies).toEqual({ buffer: 'disabled' });
  });

  test.each<[string, Policy<RoutePolicies>, Policy<RoutePolicies>]>([
    ['higher weight', testPolicy('z', timeouts(1), { weight: 1, created: '2026-02-01T00:00:00Z' }), testPolicy('a', timeouts(2))],
    ['negative weight last', testPolicy('z', timeouts(1)), testPolicy('a', timeouts(2), { weight: -1 })],
    ['older', testPolicy('z', timeouts(1), { created: '2025-01-01T00:00:00Z' }), testPolicy('a', timeouts(2))],
    ['name', testPolicy('a', timeouts(1)), testPolicy('b', timeouts(2))],
  ])('within a level: %s', (_name, winner, loser) => {
    expect(effectivePolicies([[winner, loser]]).policies).toEqual(winner.fields);
    expect(effectivePolicies([[loser, winner]]).policies).toEqual(winner.fields);
  });

  test('weight does not lift a policy over a more specific level', () => {
    const { policies } = effectivePolicies([[testPolicy('rule', timeouts(1))], [testPolicy('route', timeouts(2), { weight: 100 })]]);
    expect(policies).toEqual(timeouts(1));
  });

  test('an invalid policy contributes nothing and is handed to the caller, who must fail closed', () => {
    const problems = [{ field: 'spec.extAuth', message: 'not supported' }];
    const bad = testPolicy('bad', timeouts(1), { problems });
    const { policies, invalid, outcomes } = effectivePolicies([[bad], [testPolicy('good', timeouts(2))]]);
    expect(policies).toEqual(timeouts(2));
    expect(invalid).toEqual([{ policy: bad.ref, problems }]);
    expect(outcomes.map((o) => o.policy.name)).toEqual(['good']);
  });

  test('a policy at two levels counts once', () => {
    const p = testPolicy('p', timeouts(1));
    expect(effectivePolicies([[p], [p, p]]).outcomes).toHaveLength(1);
  });

  test('what a rule says itself comes first', () => {
    expect(withOwnPolicies(timeouts(1), { ...timeouts(2), ...buffer(3) })).toEqual({ ...timeouts(1), ...buffer(3) });
  });
});

test('a field that can be joined is', () => {
  interface Lists {
    readonly rules?: readonly string[];
    readonly action?: string;
  }
  const merges: FieldMerges<Lists> = { rules: (higher, lower) => [...higher, ...lower], action: keepHigher };
  const of = (name: string, fields: Lists): Policy<Lists> => ({ ...testPolicy(name), fields });
  const { policies, outcomes } = mergeLevels(merges, [
    [of('a', { rules: ['1'], action: 'allow' })],
    [of('b', { rules: ['2'], action: 'deny' })],
  ]);
  expect(policies).toEqual({ rules: ['1', '2'], action: 'allow' });
  expect(outcomes.map((o) => o.state)).toEqual(['merged', 'merged']);
});

test('a field of the IR without a row in the table does not compile', () => {
  const { buffer: _, ...rest } = routePolicyMerges;
  // @ts-expect-error buffer has no row
  const incomplete: FieldMerges<RoutePolicies> = rest;
  expect(Object.keys(incomplete)).toHaveLength(Object.keys(routePolicyMerges).length - 1);
});

describe('for any policies', () => {
  const fieldsArbitrary = fc.record(
    {
      timeouts: fc.record({ requestMs: fc.nat(3) }),
      buffer: fc.oneof(fc.constant('disabled' as const), fc.record({ maxBytes: fc.nat(3) })),
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<RoutePolicies>;
  const policy = fc
    .tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), fieldsArbitrary, fc.integer({ min: -1, max: 1 }), fc.constantFrom('2025', '2026'))
    .map(([name, fields, weight, created]) => testPolicy(name, fields, { weight, created }));
  const level = fc.uniqueArray(policy, { selector: (p) => p.ref.name, maxLength: 5 });

  test('the order within a level does not matter', () => {
    fc.assert(
      fc.property(
        level.chain((l) => fc.tuple(fc.constant(l), fc.shuffledSubarray(l, { minLength: l.length }))),
        level,
        ([first, shuffled], second) => {
          expect(effectivePolicies([shuffled, second])).toEqual(effectivePolicies([first, second]));
        },
      ),
    );
  });

  test('each field is that of the first policy that has it, by level and precedence; who sets fields and has none is overridden', () => {
    fc.assert(
      fc.property(fc.array(level, { maxLength: 3 }), (levels) => {
        const { policies, outcomes } = effectivePolicies(levels);
        const seen = new Set<string>();
        const ordered = levels
          .flatMap((l) => l.toSorted((a, b) => comparePrecedence(a.precedence, b.precedence)))
          .filter((p) => !seen.has(p.ref.name) && seen.add(p.ref.name));
        const winners = new Set<Policy<RoutePolicies> | undefined>();
        for (const field of ['timeouts', 'buffer'] as const) {
          const winner = ordered.find((p) => p.fields[field] !== undefined);
          expect(policies[field]).toEqual(winner?.fields[field]);
          winners.add(winner);
        }
        expect(outcomes.map((o) => o.policy)).toEqual(ordered.map((p) => p.ref));
        const overridden = ordered.map((p) => Object.keys(p.fields).length > 0 && !winners.has(p));
        expect(outcomes.map((o) => o.state === 'overridden')).toEqual(overridden);
      }),
    );
  });
});
