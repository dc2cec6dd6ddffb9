import { describe, expect, test } from 'vitest';
import type { RoutePolicies } from '../ir/policy.ts';
import type { MessageTransformation } from '../ir/transformation.ts';
import { type InheritedPriority, type ParentTier, type Tier, inheritedPriorityOf } from './inheritance.ts';
import { testPolicy } from './testing.ts';
import { mergeTransformations } from './trafficpolicy/deep-merge.ts';
import { inheritedPolicies } from './trafficpolicy/trafficpolicy.ts';

const timeouts = (requestMs: number): RoutePolicies => ({ timeouts: { requestMs } });
const buffer = (maxBytes: number): RoutePolicies => ({ buffer: { maxBytes } });
const ruleOf = (name: string) => ({ group: 'g', kind: 'HTTPRoute', namespace: 'n', name, section: '0' });
const tier = (name: string, own: RoutePolicies, policy?: RoutePolicies): Tier<RoutePolicies> => ({
  rule: ruleOf(name),
  own,
  levels: policy ? [[testPolicy(name, policy)]] : [],
});
const parent = (priority: InheritedPriority, ...rest: Parameters<typeof tier>): ParentTier<RoutePolicies> => ({
  ...tier(...rest),
  priority,
});

test.each<[string | undefined, InheritedPriority]>([
  [undefined, 'ShallowMergePreferChild'],
  ['nonsense', 'ShallowMergePreferChild'],
  ['DeepMergePreferParent', 'DeepMergePreferParent'],
])('the annotation %s is %s', (text, priority) => {
  expect(inheritedPriorityOf(text)).toBe(priority);
});

describe('who wins', () => {
  const child = tier('child', {}, { ...timeouts(1), ...buffer(1) });

  test('the child, and the parent fills the rest', () => {
    const { policies, outcomes } = inheritedPolicies(
      child,
      [parent('ShallowMergePreferChild', 'parent', {}, { ...timeouts(2), cors: 'disabled' })],
      [],
    );
    expect(policies).toEqual({ ...timeouts(1), ...buffer(1), cors: 'disabled' });
    expect(outcomes.map((o) => [o.policy.name, o.state])).toEqual([
      ['child', 'merged'],
      ['parent', 'merged'],
    ]);
  });

  test('a parent that is preferred', () => {
    const { policies, outcomes } = inheritedPolicies(
      child,
      [parent('ShallowMergePreferParent', 'parent', {}, { ...timeouts(2), ...buffer(2) })],
      [],
    );
    expect(policies).toEqual({ ...timeouts(2), ...buffer(2) });
    expect(outcomes.map((o) => [o.policy.name, o.state])).toEqual([
      ['parent', 'attached'],
      ['child', 'overridden'],
    ]);
  });

  test('each parent decides over everything below it', () => {
    const middle = parent('ShallowMergePreferChild', 'middle', {}, timeouts(2));
    const top = parent('ShallowMergePreferParent', 'top', {}, buffer(3));
    expect(inheritedPolicies(child, [middle, top], []).policies).toEqual({ ...timeouts(1), ...buffer(3) });
  });

  test('what a rule says itself is more specific than its policies, and inherited like them', () => {
    const above = parent('ShallowMergePreferChild', 'parent', timeouts(2), timeouts(3));
    expect(inheritedPolicies(tier('child', {}), [above], [[testPolicy('gateway', timeouts(4))]]).policies).toEqual(timeouts(2));
    const preferred = parent('ShallowMergePreferParent', 'parent', timeouts(2));
    expect(inheritedPolicies(tier('child', timeouts(1), timeouts(5)), [preferred], []).policies).toEqual(timeouts(2));
  });

  test('listener and Gateway come last in any case', () => {
    const { policies } = inheritedPolicies(
      tier('child', {}),
      [parent('ShallowMergePreferParent', 'p', {})],
      [[testPolicy('gateway', timeouts(4))]],
    );
    expect(policies).toEqual(timeouts(4));
  });
});

const message = (text: string, more: Partial<MessageTransformation> = {}): MessageTransformation => ({
  set: [
    { name: 'x-who', value: [{ type: 'text', text }] },
    { name: `x-${text}`, value: [] },
  ],
  add: [],
  remove: [text],
  parseAs: 'text',
  buffered: false,
  metadata: [],
  requestHeaders: [],
  ...more,
});

describe('deep merges', () => {
  const child = tier('child', {}, { transformation: { request: message('child') } });
  const above = (priority: InheritedPriority) =>
    parent(priority, 'parent', {}, { transformation: { request: message('parent'), response: message('r') } });
  const names = (priority: InheritedPriority) => {
    const { transformation } = inheritedPolicies(child, [above(priority)], []).policies;
    return [transformation?.request?.set.map((h) => h.name), transformation?.request?.set[0]?.value[0], transformation?.response?.remove];
  };

  test.each<[InheritedPriority, unknown[]]>([
    ['ShallowMergePreferChild', [['x-who', 'x-child'], { type: 'text', text: 'child' }, undefined]],
    ['ShallowMergePreferParent', [['x-who', 'x-parent'], { type: 'text', text: 'parent' }, ['r']]],
    ['DeepMergePreferChild', [['x-who', 'x-child', 'x-parent'], { type: 'text', text: 'child' }, ['r']]],
    ['DeepMergePreferParent', [['x-who', 'x-parent', 'x-child'], { type: 'text', text: 'parent' }, ['r']]],
  ])('%s', (priority, expected) => {
    expect(names(priority)).toEqual(expected);
  });

  test('messages that see the body in different forms are not joined', () => {
    const higher = { request: message('child', { parseAs: 'json' }) };
    expect(mergeTransformations(higher, { request: message('parent') })).toEqual(higher);
  });
});
