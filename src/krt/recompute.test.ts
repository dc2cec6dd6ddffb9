import { expect, test } from 'vitest';
import type { Collection } from './index.ts';
import { flatMap, Graph, group, join, map, singleton, source } from './index.ts';

/** What runs, and how often: a change recomputes what depends on it and nothing else. */

interface Pod {
  readonly ns: string;
  readonly name: string;
  readonly app: string;
  readonly ip: string;
}
interface Service {
  readonly ns: string;
  readonly name: string;
  readonly app: string;
}

function world() {
  const graph = new Graph({ schedule: () => {} });
  const pods = source<Pod>(graph, { name: 'Pods', key: (p) => `${p.ns}/${p.name}` });
  const services = source<Service>(graph, { name: 'Services', key: (s) => `${s.ns}/${s.name}` });
  const byNamespace = services.index('namespace', (s) => [s.ns]);
  const workloads = map(graph, pods, { name: 'Workloads' }, (ctx, p, key) => ({
    key,
    ip: p.ip,
    services: ctx.fetch(services, { index: byNamespace, is: p.ns, where: (s) => s.app === p.app }).map((s) => `${s.ns}/${s.name}`),
  }));
  const members = group(
    graph,
    { name: 'Members' },
    workloads.index('service', (w) => w.services),
  );
  const endpoints = map(graph, members, { name: 'Endpoints' }, (_, m) => m.items.map((w) => w.ip).sort());
  const clusters = map(graph, services, { name: 'Clusters' }, (_, s) => s.name);
  pods.markSynced();
  services.markSynced();
  for (let n = 0; n < 3; n++) {
    for (let i = 0; i < 2; i++) services.set({ ns: `n${n}`, name: `s${i}`, app: `a${i}` });
    for (let i = 0; i < 10; i++) pods.set({ ns: `n${n}`, name: `p${i}`, app: `a${i % 5}`, ip: `10.0.${n}.${i}` });
  }
  graph.flush();
  return { graph, pods, services, workloads, endpoints, clusters };
}

function runs(graph: Graph, work: () => void): Record<string, number> {
  const before = new Map(graph.stats().map((s) => [s.name, s.transforms]));
  work();
  graph.flush();
  const after = graph.stats().map((s) => [s.name, s.transforms - (before.get(s.name) ?? 0)] as const);
  return Object.fromEntries(after.filter(([, n]) => n > 0));
}

test('one Pod changes: its workload and its endpoints', () => {
  const w = world();
  expect(w.endpoints.get('n1/s1')).toEqual(['10.0.1.1', '10.0.1.6']);
  const pod = { ns: 'n1', name: 'p1', app: 'a1', ip: '10.9.9.9' };
  expect(runs(w.graph, () => w.pods.set(pod))).toEqual({ Workloads: 1, Endpoints: 1 });
  expect(w.endpoints.get('n1/s1')).toEqual(['10.0.1.6', '10.9.9.9']);
});

test('a Service relabelled: the Pods of its namespace that it selected or selects, once each', () => {
  const w = world();
  const relabelled = { ns: 'n1', name: 's1', app: 'a2' };
  expect(runs(w.graph, () => w.services.set(relabelled))).toEqual({ Workloads: 4, Endpoints: 1, Clusters: 1 });
  expect(w.endpoints.get('n1/s1')).toEqual(['10.0.1.2', '10.0.1.7']);
});

test('identical writes run nothing', () => {
  const w = world();
  expect(runs(w.graph, () => w.pods.reset(w.pods.list().map((p) => ({ ...p }))))).toEqual({});
});

test('an input runs once a flush, however many of its dependencies changed', () => {
  const w = world();
  const all = singleton(
    w.graph,
    { name: 'All' },
    (ctx) => ctx.fetch(w.workloads).length + ctx.fetch(w.clusters).length + ctx.fetch(w.endpoints).length,
  );
  w.graph.flush();
  const change = () => {
    for (let i = 0; i < 5; i++) w.pods.set({ ns: 'n0', name: `new${i}`, app: 'a0', ip: '10.1.1.1' });
    w.services.set({ ns: 'n0', name: 'new', app: 'a1' });
  };
  expect(runs(w.graph, change)).toEqual({ Workloads: 7, Endpoints: 3, Clusters: 1, All: 1 });
  expect(all.get('All')).toBe(35 + 7 + 7);
});

test('an output that stays equal stops there, and keeps its identity', () => {
  const g = new Graph({ schedule: () => {} });
  const s = source<{ id: string; n: number }>(g, { name: 'S', key: (o) => o.id });
  const parity = map(g, s, { name: 'Parity' }, (_, o) => ({ odd: o.n % 2 === 1 }));
  map(g, parity, { name: 'Next' }, (_, p) => p.odd);
  s.markSynced();
  s.set({ id: 'x', n: 1 });
  g.flush();
  const first = parity.get('x');
  expect(runs(g, () => s.set({ id: 'x', n: 3 }))).toEqual({ Parity: 1 });
  expect(parity.get('x')).toBe(first);
});

test('own equality decides what a change is', () => {
  const g = new Graph({ schedule: () => {} });
  const s = source<{ id: string; n: number }>(g, { name: 'S', key: (o) => o.id });
  const rounded = map(g, s, { name: 'Rounded', equals: (a: number, b: number) => Math.abs(a - b) < 10 }, (_, o) => o.n);
  const trigger = source<{ id: string }>(g, { name: 'Trigger', key: (o) => o.id, equals: () => false });
  const joined = join(g, { name: 'Joined' }, [trigger]);
  let batches = 0;
  joined.subscribe(() => batches++);
  s.markSynced();
  trigger.markSynced();
  s.set({ id: 'x', n: 1 });
  const same = { id: 't' };
  trigger.set(same);
  g.flush();
  s.set({ id: 'x', n: 9 });
  trigger.set(same);
  g.flush();
  trigger.set({ id: 't' });
  g.flush();
  expect([rounded.get('x'), batches]).toEqual([1, 3]);
});

test('dependencies follow what the last run read', () => {
  const g = new Graph({ schedule: () => {} });
  const route = source<{ id: string; to: string }>(g, { name: 'Route', key: (o) => o.id });
  const target = source<{ id: string; v: number }>(g, { name: 'Target', key: (o) => o.id });
  const resolved = map(g, route, { name: 'Resolved' }, (ctx, r) => ctx.fetchOne(target, r.to)?.v);
  route.markSynced();
  target.markSynced();
  route.set({ id: 'r', to: 'a' });
  g.flush();
  expect(runs(g, () => target.set({ id: 'b', v: 1 }))).toEqual({});
  expect(runs(g, () => target.set({ id: 'a', v: 2 }))).toEqual({ Resolved: 1 });
  expect(resolved.get('r')).toBe(2);
  expect(runs(g, () => route.set({ id: 'r', to: 'b' }))).toEqual({ Resolved: 1 });
  expect(runs(g, () => target.set({ id: 'a', v: 3 }))).toEqual({});
  expect(runs(g, () => target.delete('b'))).toEqual({ Resolved: 1 });
  expect(resolved.size).toBe(0);
  expect(runs(g, () => target.set({ id: 'b', v: 4 }))).toEqual({ Resolved: 1 });
  g.flush();
  expect(runs(g, () => route.delete('r'))).toEqual({});
  expect(runs(g, () => target.delete('b'))).toEqual({});
  expect(g.dump({ collections: ['Resolved'] }).collections[0]?.rows).toEqual({});
});

test('the same read twice, and a read that moves, keep the dependency', () => {
  const g = new Graph({ schedule: () => {} });
  const order = source<{ id: string; keys: readonly string[] }>(g, { name: 'Order', key: (o) => o.id });
  const target = source<{ id: string; v: number }>(g, { name: 'Target', key: (o) => o.id });
  const sum = map(g, order, { name: 'Sum' }, (ctx, o) => o.keys.reduce((n, k) => n + (ctx.fetchOne(target, k)?.v ?? 0), 0));
  order.markSynced();
  target.markSynced();
  let v = 1;
  for (const keys of [['a', 'b', 'a'], ['a', 'c'], ['c', 'a'], ['b', 'b'], ['b'], []]) {
    order.set({ id: 'o', keys });
    g.flush();
    for (const id of ['a', 'b', 'c']) {
      const expected = keys.includes(id) ? { Sum: 1 } : {};
      expect(runs(g, () => target.set({ id, v: v++ }))).toEqual(expected);
    }
    expect(sum.get('o')).toBe(keys.reduce((n, k) => n + (target.get(k)?.v ?? 0), 0));
  }
});

test('a predicate is the one of the last run: it closes over the input', () => {
  const g = new Graph({ schedule: () => {} });
  const pods = source<{ id: string; app: string }>(g, { name: 'Pods', key: (o) => o.id });
  const services = source<{ id: string; app: string }>(g, { name: 'Services', key: (o) => o.id });
  const all = services.index('all', () => ['all']);
  const selected = map(
    g,
    pods,
    { name: 'Selected' },
    (ctx, p) => ctx.fetch(services, { index: all, is: 'all', where: (s) => s.app === p.app }).length,
  );
  pods.markSynced();
  services.markSynced();
  for (const app of ['a', 'b']) {
    pods.set({ id: 'p', app });
    g.flush();
  }
  expect(runs(g, () => services.set({ id: 's', app: 'a' }))).toEqual({});
  expect(runs(g, () => services.set({ id: 't', app: 'b' }))).toEqual({ Selected: 1 });
  expect(selected.get('p')).toBe(1);
});

test('keepLast keeps the outputs of the last good run and still follows what it read', () => {
  const g = new Graph({ schedule: () => {} });
  const s = source<{ id: string; valid: boolean; v: number }>(g, { name: 'S', key: (o) => o.id });
  const kept: Collection<number> = map(g, s, { name: 'Kept' }, (ctx, o) => {
    if (!o.valid) ctx.keepLast();
    return o.valid ? o.v : undefined;
  });
  s.markSynced();
  const states: unknown[] = [];
  for (const o of [
    { valid: false, v: 0 },
    { valid: true, v: 1 },
    { valid: false, v: 2 },
    { valid: true, v: 3 },
  ]) {
    s.set({ id: 'x', ...o });
    g.flush();
    states.push(kept.get('x'));
  }
  expect(states).toEqual([undefined, 1, 1, 3]);
  s.delete('x');
  g.flush();
  expect(kept.size).toBe(0);
});

test('an output key moves between inputs within one flush: one update, or nothing', () => {
  const g = new Graph({ schedule: () => {} });
  const s = source<{ id: string; owns: readonly string[]; v: number }>(g, { name: 'S', key: (o) => o.id });
  const out = flatMap(g, s, { name: 'Out', key: (o: { k: string }) => o.k }, (_, o) => o.owns.map((k) => ({ k, v: o.v })));
  s.markSynced();
  s.set({ id: 'a', owns: ['k', 'l'], v: 1 });
  s.set({ id: 'b', owns: [], v: 1 });
  g.flush();
  const events: string[] = [];
  out.subscribe((batch) => events.push(...batch.map((e) => `${e.type} ${e.key}`)));
  s.set({ id: 'b', owns: ['k'], v: 1 });
  s.set({ id: 'a', owns: ['l'], v: 1 });
  g.flush();
  expect(events).toEqual([]);
  s.set({ id: 'a', owns: ['k', 'm'], v: 2 });
  s.delete('b');
  g.flush();
  expect(events.sort()).toEqual(['add m', 'delete l', 'update k']);
  expect(out.list().toSorted((a, b) => (a.k < b.k ? -1 : 1))).toEqual([
    { k: 'k', v: 2 },
    { k: 'm', v: 2 },
  ]);
});

test('a change in a group of thousands touches that group only', () => {
  const g = new Graph({ schedule: () => {} });
  const s = source<{ id: number; in: readonly string[] }>(g, { name: 'S', key: (o) => String(o.id) });
  const groups = group(
    g,
    { name: 'Groups' },
    s.index('in', (o) => o.in),
  );
  map(g, groups, { name: 'Sizes' }, (_, x) => x.items.length);
  s.markSynced();
  for (let id = 0; id < 4000; id++) s.set({ id, in: ['big', `small-${id % 1000}`] });
  g.flush();
  const before = groups.get('big');
  expect(runs(g, () => s.set({ id: 7, in: ['small-7', 'fresh'] }))).toEqual({ Sizes: 3 });
  expect([before?.items.length, groups.get('big')?.items.length, groups.get('fresh')?.items.length]).toEqual([4000, 3999, 1]);
  expect(new Set(groups.get('big')?.items.map((o) => o.id)).has(7)).toBe(false);
  expect(runs(g, () => s.set({ id: 8, in: ['small-8'] }))).toEqual({ Sizes: 2 });
  // Everything leaves: not quadratic, and no group is left behind.
  s.reset([]);
  g.flush();
  expect(groups.size).toBe(0);
});
