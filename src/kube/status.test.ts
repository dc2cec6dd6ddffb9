import { expect, test } from 'vitest';
import { HTTPRoutes } from './resources.ts';
import type { DesiredStatus, StatusShape } from './status.ts';
import { mergeConditions, mergeStatus, sameJson, statusKey } from './status.ts';
import type { Condition, KubeObject } from './types/meta.ts';

const now = '2026-02-02T00:00:00Z';
const before = '2026-01-01T00:00:00Z';
const accepted = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' } as const;
const stored = (c: Partial<Condition> = {}): Condition => ({ ...accepted, lastTransitionTime: before, observedGeneration: 1, ...c });
const object = (status?: unknown): KubeObject =>
  ({ apiVersion: 'v1', kind: 'X', metadata: { name: 'a', namespace: 'b', generation: 1 }, status }) as KubeObject;
const desired = (status: StatusShape, generation: number | undefined = 1): DesiredStatus => ({
  key: statusKey(HTTPRoutes, 'b/a'),
  resource: HTTPRoutes,
  object: 'b/a',
  generation,
  status,
});
const gateway = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'gw' };
const mine = 'kgateway.dev/kgateway';

test('the time of a condition moves only with its status', () => {
  expect(mergeConditions([stored()], [{ ...accepted, reason: 'Other', message: 'm' }], 2, now)).toEqual([
    stored({ reason: 'Other', message: 'm', observedGeneration: 2 }),
  ]);
  expect(mergeConditions([stored()], [{ ...accepted, status: 'False' }], 2, now)[0]?.lastTransitionTime).toBe(now);
  expect(mergeConditions([], [accepted], undefined, now)).toEqual([{ ...accepted, lastTransitionTime: now }]);
  expect(mergeConditions([], [{ ...accepted, message: 'x'.repeat(40_000) }], 1, now)[0]?.message).toHaveLength(32_768);
});

test('parents: our entries are exactly those desired, others stay, stored defaults are no difference', () => {
  const other = { parentRef: gateway, controllerName: 'other', conditions: [stored()] };
  const gone = { parentRef: { ...gateway, name: 'gone' }, controllerName: mine, conditions: [stored()] };
  const ours = { parentRef: gateway, controllerName: mine, conditions: [stored()] };
  const d = desired({ kind: 'parents', controllerName: mine, entries: [{ parentRef: { name: 'gw' }, conditions: [accepted] }] });
  expect(mergeStatus(object({ parents: [gone, other] }), d, now)).toEqual({
    parents: [other, { ...ours, conditions: [stored({ lastTransitionTime: now })] }],
  });
  expect(mergeStatus(object({ parents: [other, ours] }), d, now)).toBeUndefined();
  expect(mergeStatus(object({ parents: [other, ours] }), desired({ kind: 'parents', controllerName: mine, entries: [] }), now)).toEqual({
    parents: [other],
  });
  expect(mergeStatus(object(), d, now)).toHaveProperty('parents');
});

test('sections of one parent are entries of their own', () => {
  const entries = ['a', 'b'].map((sectionName) => ({ parentRef: { ...gateway, sectionName }, conditions: [accepted] }));
  const merged = mergeStatus(object(), desired({ kind: 'parents', controllerName: mine, entries }), before);
  expect(mergeStatus(object(merged), desired({ kind: 'parents', controllerName: mine, entries }), now)).toBeUndefined();
});

test('ancestors: no more than 16 with those of others', () => {
  const others = Array.from({ length: 15 }, (_, i) => ({
    ancestorRef: { ...gateway, name: `o${i}` },
    controllerName: 'x',
    conditions: [],
  }));
  const entries = ['a', 'b'].map((name) => ({ ancestorRef: { ...gateway, name }, conditions: [accepted] }));
  const merged = mergeStatus(object({ ancestors: others }), desired({ kind: 'ancestors', controllerName: mine, entries }), now);
  expect(merged?.['ancestors']).toHaveLength(16);
});

test('whole: conditions keep their times at any depth, unnamed fields stay', () => {
  const status = {
    conditions: [accepted],
    listeners: [
      { name: 'b', attachedRoutes: 1, supportedKinds: [], conditions: [accepted] },
      { name: 'a', attachedRoutes: 0, supportedKinds: [], conditions: [accepted] },
    ],
    addresses: undefined,
  };
  const first = mergeStatus(object({ extra: 1 }), desired({ kind: 'whole', status }), before);
  expect(Object.keys(first ?? {})).toEqual(['conditions', 'listeners']);
  expect(mergeStatus(object({ ...first, extra: 1 }), desired({ kind: 'whole', status }), now)).toBeUndefined();
  const changed = { ...status, listeners: [{ name: 'a', attachedRoutes: 2, conditions: [accepted] }] };
  expect(mergeStatus(object(first), desired({ kind: 'whole', status: changed }), now)).toMatchObject({
    listeners: [{ name: 'a', conditions: [{ lastTransitionTime: before }] }],
  });
});

test('conditions: only the owned types change', () => {
  const theirs = stored({ type: 'example.com/Ready' });
  const shape = { kind: 'conditions', owned: ['Accepted', 'Programmed'], conditions: [accepted] } as const;
  expect(mergeStatus(object({ conditions: [stored({ type: 'Programmed' }), theirs] }), desired(shape), now)).toEqual({
    conditions: [theirs, stored({ lastTransitionTime: now })],
  });
  expect(mergeStatus(object({ conditions: [theirs, stored()] }), desired(shape), now)).toBeUndefined();
});

test('sameJson', () => {
  expect(sameJson({ a: 1, b: undefined, c: [1, { d: null }] }, { c: [1, { d: null }], a: 1 })).toBe(true);
  expect(sameJson([1], { 0: 1 })).toBe(false);
  expect(sameJson({}, [])).toBe(false);
  expect(sameJson({ a: 1 }, { b: 1 })).toBe(false);
});
