import { describe, expect, test } from 'vitest';
import type { ObjectRef } from '../ir/object-ref.ts';
import { missingTargets, type PolicyAttachment, policyStatus } from './status.ts';
import { testPolicy } from './testing.ts';

const group = 'gateway.networking.k8s.io';
const gateway = (name: string): ObjectRef => ({ group, kind: 'Gateway', namespace: 'demo', name });
const route = (name: string, section?: string): ObjectRef => ({
  group,
  kind: 'HTTPRoute',
  namespace: 'demo',
  name,
  ...(section !== undefined && { section }),
});
const policy = testPolicy('p');
const at = (state: PolicyAttachment['state'], name = 'g'): PolicyAttachment => ({ policy: policy.ref, ancestor: gateway(name), state });
const accepted = { type: 'Accepted', status: 'True', reason: 'Valid', message: 'Policy accepted' };
const pending = { type: 'Attached', status: 'False', reason: 'Pending', message: '' };

describe('conditions at a Gateway', () => {
  test.each<[string, PolicyAttachment['state'][], object]>([
    ['attached', ['attached', 'attached'], { status: 'True', reason: 'Attached', message: 'Attached to all targets' }],
    ['merged', ['merged'], { status: 'True', reason: 'Merged', message: 'Merged with other policies in target(s) and attached' }],
    [
      'overridden everywhere',
      ['overridden', 'overridden'],
      { status: 'False', reason: 'Overridden', message: 'Overridden due to conflict with higher priority policy in target(s)' },
    ],
    ['overridden in part', ['attached', 'overridden'], { status: 'True', reason: 'Merged' }],
    ['not translated yet', ['pending'], { status: 'False', reason: 'Pending', message: '' }],
    ['translated in part', ['attached', 'pending'], { status: 'True', reason: 'Attached' }],
  ])('%s', (_name, states, attached) => {
    const report = policyStatus(
      policy,
      states.map((s) => at(s)),
      [],
    );
    expect(report).toMatchObject({ form: 'ancestors', object: policy.ref, generation: 3 });
    expect(report.entries).toHaveLength(1);
    expect(report.entries[0]?.ref).toEqual({ group, kind: 'Gateway', namespace: 'demo', name: 'g' });
    expect(report.entries[0]?.conditions).toEqual([accepted, expect.objectContaining({ type: 'Attached', ...attached })]);
  });
});

test('an invalid policy is not attached anywhere', () => {
  const problems = [
    { field: 'spec.a', message: 'bad' },
    { field: 'spec.b', message: 'worse' },
  ];
  const report = policyStatus(testPolicy('p', {}, { problems }), [at('attached')], []);
  expect(report.entries[0]?.conditions).toEqual([
    { type: 'Accepted', status: 'False', reason: 'Invalid', message: 'spec.a: bad; spec.b: worse' },
    pending,
  ]);
});

test('a target that does not exist is named, beside those that do', () => {
  const withTargets = testPolicy(
    'p',
    {},
    {
      targets: [
        { by: 'name', field: 'spec.targetRefs[0]', ref: route('gone') },
        { by: 'name', field: 'spec.targetRefs[1]', ref: route('here', 'rule') },
        { by: 'name', field: 'spec.targetRefs[2]', ref: route('here') },
        { by: 'labels', field: 'spec.targetSelectors[0]', group, kind: 'HTTPRoute', namespace: 'demo', matchLabels: { a: 'b' } },
      ],
    },
  );
  const missing = missingTargets(withTargets, (ref) => (ref.name === 'gone' ? 'object' : ref.section === undefined ? 'found' : 'section'));
  expect(missing.map((m) => [m.field, m.missing])).toEqual([
    ['spec.targetRefs[0]', 'object'],
    ['spec.targetRefs[1]', 'section'],
  ]);
  const { entries } = policyStatus(withTargets, [at('attached')], missing);
  expect(entries.map((e) => [e.ref['kind'], e.ref['name'], e.ref['sectionName'], e.conditions.map((c) => c.reason)])).toEqual([
    ['Gateway', 'g', undefined, ['Valid', 'Attached']],
    ['HTTPRoute', 'gone', undefined, ['TargetNotFound', 'Pending']],
    ['HTTPRoute', 'here', 'rule', ['TargetNotFound', 'Pending']],
  ]);
  expect(entries[1]?.conditions[0]?.message).toContain('spec.targetRefs[0]: HTTPRoute demo/gone (gateway.networking.k8s.io) not found');
  expect(entries[2]?.conditions[0]?.message).toContain('HTTPRoute demo/here (gateway.networking.k8s.io) has no section "rule"');
});

test('a policy that reaches nothing has no entries', () => {
  expect(policyStatus(policy, [], []).entries).toEqual([]);
});

test('of more than 16 ancestors those with something wrong are kept, in a stable order', () => {
  const many = Array.from({ length: 20 }, (_, i) => at(i === 19 ? 'overridden' : 'attached', `g${String(i).padStart(2, '0')}`));
  const { entries } = policyStatus(policy, many, []);
  expect(entries).toHaveLength(16);
  expect(entries.at(-1)?.ref['name']).toBe('g19');
  expect(policyStatus(policy, many.toReversed(), []).entries).toEqual(entries);
});

test('a message never exceeds what the API server takes', () => {
  const problems = [{ field: 'spec', message: 'x'.repeat(40_000) }];
  const { entries } = policyStatus(testPolicy('p', {}, { problems }), [at('attached')], []);
  expect(entries[0]?.conditions[0]?.message).toHaveLength(32_768);
});
