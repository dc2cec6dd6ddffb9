import { describe, expect, test } from 'vitest';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { RoutePolicies } from '../ir/policy.ts';
import { Graph, map, source } from '../krt/index.ts';
import { type Attachments, attachmentKeys, attachmentsIn, listenerLevels, ruleLevels } from './attachment.ts';
import type { Policy, PolicyTarget } from './plugin.ts';
import { testPolicy } from './testing.ts';

const group = 'gateway.networking.k8s.io';
const object = (kind: string, name: string, section?: string): ObjectRef => ({
  group,
  kind,
  namespace: 'demo',
  name,
  ...(section !== undefined && { section }),
});
const byName = (kind: string, name: string, section?: string): PolicyTarget => ({
  by: 'name',
  field: 'f',
  ref: object(kind, name, section),
});
const byLabels = (kind: string, matchLabels: Record<string, string>, section?: string): PolicyTarget => ({
  by: 'labels',
  field: 'f',
  group,
  kind,
  namespace: 'demo',
  matchLabels,
  ...(section !== undefined && { section }),
});
const policy = (name: string, ...targets: PolicyTarget[]): Policy<RoutePolicies> => testPolicy(name, {}, { targets });
type Levels = readonly (readonly Policy<RoutePolicies>[])[];
const names = (levels: Levels): string[][] => levels.map((l) => l.map((p) => p.ref.name));
const policySource = (g: Graph) => source<Policy<RoutePolicies>>(g, { name: 'policies', key: (p) => p.precedence.key });

const route = { ref: object('HTTPRoute', 'r'), labels: { team: 'a', tier: 'web' } };
const gateway = { ref: object('Gateway', 'g'), labels: {} };
const listenerSet = { ref: object('ListenerSet', 's'), labels: {} };

const attached = [
  policy('route', byName('HTTPRoute', 'r')),
  policy('rule', byName('HTTPRoute', 'r', 'first')),
  policy('other-route', byName('HTTPRoute', 'other')),
  policy('grpc', byName('GRPCRoute', 'r')),
  policy('gateway', byName('Gateway', 'g')),
  policy('listener', byName('Gateway', 'g', 'http')),
  policy('set', byName('ListenerSet', 's')),
  policy('set-listener', byName('ListenerSet', 's', 'http')),
  policy('labels', byLabels('HTTPRoute', { team: 'a' })),
  policy('all-routes', byLabels('HTTPRoute', {})),
  policy('labels-differ', byLabels('HTTPRoute', { team: 'a', tier: 'db' })),
  policy('labels-rule', byLabels('HTTPRoute', { team: 'a' }, 'first')),
  policy('both', byName('HTTPRoute', 'r'), byLabels('HTTPRoute', { team: 'a' })),
  policy('extension'),
];

/** What is found among those. */
function found(levels: (attachments: Attachments<RoutePolicies>) => Levels): readonly string[][] | undefined {
  const g = new Graph({ schedule: () => {} });
  const policies = policySource(g);
  const byTarget = policies.index('byTarget', attachmentKeys);
  const question = source<{ readonly name: string }>(g, { name: 'question', key: (q) => q.name });
  const answer = map(g, question, { name: 'answer' }, (ctx) => ({ names: names(levels(attachmentsIn(ctx, policies, byTarget))) }));
  policies.reset(attached);
  question.reset([{ name: 'levels' }]);
  for (const s of [policies, question]) s.markSynced();
  while (g.dirty) g.flush();
  return answer.get('levels')?.names;
}

describe('levels', () => {
  test('of a named rule with an ExtensionRef filter', () => {
    expect(found((a) => ruleLevels(a, route, { name: 'first', extensionRefs: ['extension', 'missing'] }))).toEqual([
      ['extension'],
      ['rule', 'labels-rule'],
      ['route', 'both', 'labels', 'all-routes'],
    ]);
  });

  test('of a rule without a name: only those of the route', () => {
    expect(found((a) => ruleLevels(a, route, {}))).toEqual([[], [], ['route', 'both', 'labels', 'all-routes']]);
  });

  test('of a route in another namespace: none', () => {
    const elsewhere = { ...route, ref: { ...route.ref, namespace: 'other' } };
    expect(found((a) => ruleLevels(a, elsewhere, { name: 'first', extensionRefs: ['extension'] }))).toEqual([[], [], []]);
  });

  test('of a listener, of a whole Gateway, of a listener of a set', () => {
    expect(found((a) => listenerLevels(a, gateway, 'http'))).toEqual([['listener'], ['gateway']]);
    expect(found((a) => listenerLevels(a, gateway))).toEqual([['gateway']]);
    expect(found((a) => listenerLevels(a, gateway, 'http', listenerSet))).toEqual([['set-listener'], ['set'], ['gateway']]);
  });
});

test('a policy has one index key per target and selector', () => {
  expect(
    attachmentKeys(policy('p', byName('Gateway', 'g'), byName('Gateway', 'g'), byLabels('Gateway', { a: 'b' }), byLabels('Gateway', {}))),
  ).toEqual([`${group}/Gateway/demo/g`, `selected:${group}/Gateway/demo/*`]);
});

test('in a graph, only the routes that a policy is attached to are computed again', () => {
  const g = new Graph({ schedule: (flush) => flush() });
  const policies = policySource(g);
  const routes = source<{ name: string; labels: Record<string, string> }>(g, { name: 'routes', key: (r) => r.name });
  const byTarget = policies.index('byTarget', attachmentKeys);
  const computed: string[] = [];
  const effective = map(g, routes, { name: 'effective' }, (ctx, r) => {
    computed.push(r.name);
    const levels = ruleLevels(attachmentsIn(ctx, policies, byTarget), { ref: object('HTTPRoute', r.name), labels: r.labels }, {});
    return { route: r.name, policies: names(levels).flat() };
  });
  routes.reset([
    { name: 'a', labels: { team: 'x' } },
    { name: 'b', labels: {} },
  ]);
  policies.reset([]);
  routes.markSynced();
  policies.markSynced();
  g.flush();

  const after = (change: () => void): string[] => {
    computed.length = 0;
    change();
    g.flush();
    return computed.toSorted();
  };
  expect(after(() => policies.set(policy('p', byName('HTTPRoute', 'b'))))).toEqual(['b']);
  expect(effective.get('b')?.policies).toEqual(['p']);
  expect(after(() => policies.set(policy('q', byLabels('HTTPRoute', { team: 'x' }))))).toEqual(['a']);
  expect(effective.get('a')?.policies).toEqual(['q']);
  expect(after(() => policies.set(policy('p', byName('HTTPRoute', 'a'))))).toEqual(['a', 'b']);
  expect(effective.get('b')?.policies).toEqual([]);
  expect(after(() => policies.set(policy('unrelated', byName('Gateway', 'g'))))).toEqual([]);
});
