import { expect, test, vi } from 'vitest';
import type { Event } from './index.ts';
import { Graph, map, singleton, source } from './index.ts';

interface Item {
  readonly key: string;
  readonly value: number;
}

const itemKey = (i: Item): string => i.key;

function manual() {
  const scheduled: (() => void)[] = [];
  const graph = new Graph({ schedule: (flush) => scheduled.push(flush) });
  return { graph, scheduled };
}

test('does not flush before each of the first sources is synced', async () => {
  const { graph, scheduled } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  const b = source(graph, { name: 'B', key: itemKey });
  const both = singleton(graph, { name: 'Both' }, (ctx) => ctx.fetch(a).length + ctx.fetch(b).length);
  const events: Event<number>[] = [];
  both.subscribe((batch) => events.push(...batch));
  a.set({ key: 'x', value: 1 });
  a.markSynced();
  a.markSynced();
  graph.flush();
  expect([graph.synced, graph.sequence, both.size, scheduled.length]).toEqual([false, 0, 0, 0]);
  let resolved = false;
  const synced = graph.whenSynced().then(() => (resolved = true));
  b.set({ key: 'y', value: 1 });
  b.markSynced();
  expect(scheduled).toHaveLength(1);
  expect(resolved).toBe(false);
  scheduled[0]?.();
  await synced;
  expect([graph.synced, graph.sequence, both.get('Both')]).toEqual([true, 1, 2]);
  expect(events).toEqual([{ type: 'add', key: 'Both', new: 2 }]);
  await graph.whenSynced();
});

test('a source that comes after the graph settled holds nothing up and just adds', () => {
  const { graph } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  a.markSynced();
  graph.flush();
  const late = source(graph, { name: 'Late', key: itemKey });
  const copy = map(graph, late, { name: 'Copy' }, (_, i) => i.value);
  a.set({ key: 'x', value: 1 });
  graph.flush();
  expect([graph.synced, graph.sequence, copy.size]).toEqual([true, 1, 0]);
  late.set({ key: 'y', value: 2 });
  graph.flush();
  expect(copy.list()).toEqual([2]);
});

test('a source added between the scheduling and the first flush holds it up without losing it', () => {
  const { graph, scheduled } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  a.markSynced();
  const b = source(graph, { name: 'B', key: itemKey });
  scheduled.shift()?.();
  expect(graph.synced).toBe(false);
  b.markSynced();
  scheduled.shift()?.();
  expect(graph.synced).toBe(true);
});

test('asks for one flush whatever the number of writes, and counts only flushes with work', () => {
  const { graph, scheduled } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  a.markSynced();
  scheduled.shift()?.();
  expect(graph.sequence).toBe(0);
  for (let i = 0; i < 10; i++) a.set({ key: 'x', value: i });
  expect(scheduled).toHaveLength(1);
  expect(graph.dirty).toBe(true);
  scheduled.shift()?.();
  expect([graph.sequence, graph.dirty]).toEqual([1, false]);
  graph.flush();
  a.set({ key: 'x', value: 9 });
  expect([graph.sequence, scheduled.length]).toEqual([1, 0]);
});

test('by default, what arrives in one turn of the event loop settles in one flush', async () => {
  const graph = new Graph();
  const a = source(graph, { name: 'A', key: itemKey });
  a.markSynced();
  a.set({ key: 'x', value: 0 });
  await graph.whenSynced();
  const values: number[][] = [];
  a.subscribe((events) => values.push(events.map((e) => (e.type === 'delete' ? -1 : e.new.value))));
  for (let i = 1; i <= 3; i++) {
    a.set({ key: 'x', value: i });
    await Promise.resolve(); // Lines of a watch are handled in separate microtasks of one turn.
  }
  await vi.waitFor(() => expect(values).toEqual([[3]]));
});

test('a subscriber may write sources: that is the next flush', () => {
  const { graph, scheduled } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  const acks = source(graph, { name: 'Acks', key: itemKey });
  const status = map(graph, a, { name: 'Status' }, (ctx, i) => `${i.value}/${ctx.fetchOne(acks, i.key)?.value ?? '-'}`);
  const seen: string[] = [];
  const ackBatches: Event<Item>[][] = [];
  a.subscribe((events) => {
    for (const e of events) if (e.type !== 'delete') acks.set(e.new);
    graph.flush();
    seen.push(`handler of A: ${status.get('x')}`);
  });
  acks.subscribe((events) => ackBatches.push([...events]), { initial: true });
  status.subscribe((events) => seen.push(...events.map((e) => (e.type === 'delete' ? 'gone' : e.new))));
  a.markSynced();
  acks.markSynced();
  a.set({ key: 'x', value: 1 });
  scheduled.shift()?.();
  expect(seen).toEqual(['handler of A: 1/-', '1/-']);
  expect(ackBatches).toEqual([]);
  expect([graph.dirty, scheduled.length]).toEqual([true, 1]);
  scheduled.shift()?.();
  expect(seen).toEqual(['handler of A: 1/-', '1/-', '1/1']);
  expect(ackBatches).toEqual([[{ type: 'add', key: 'x', new: { key: 'x', value: 1 } }]]);
  expect(graph.dirty).toBe(false);
});

test('a scheduler that flushes at once works too', () => {
  const graph = new Graph({ schedule: (flush) => flush() });
  const a = source(graph, { name: 'A', key: itemKey });
  const b = source(graph, { name: 'B', key: itemKey });
  const copy = map(graph, b, { name: 'Copy' }, (_, i) => i.value);
  a.markSynced();
  b.markSynced();
  a.subscribe((events) => {
    for (const e of events) if (e.type === 'add') b.set(e.new);
  });
  a.set({ key: 'x', value: 1 });
  expect(copy.list()).toEqual([1]);
  a.set({ key: 'y', value: 2 });
  expect(copy.list()).toEqual([1, 2]);
});

test('subscribers run in creation order, and never see a half-settled graph', () => {
  const { graph } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  const double = map(graph, a, { name: 'Double' }, (_, i) => ({ key: i.key, value: i.value * 2 }));
  const sum = map(graph, double, { name: 'Sum' }, (ctx, d) => d.value + (ctx.fetchOne(a, d.key)?.value ?? 0));
  const seen: string[] = [];
  sum.subscribe(() => seen.push(`sum ${sum.get('x')}`));
  double.subscribe(() => seen.push(`double ${double.get('x')?.value} ${sum.get('x')}`));
  a.subscribe(() => seen.push(`a ${a.get('x')?.value} ${sum.get('x')}`));
  a.markSynced();
  for (const value of [1, 2]) {
    a.set({ key: 'x', value });
    graph.flush();
  }
  expect(seen).toEqual(['a 1 3', 'double 2 3', 'sum 3', 'a 2 6', 'double 4 6', 'sum 6']);
});

test('a subscriber made by a subscriber hears of the next flush first', () => {
  const { graph } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  const copy = map(graph, a, { name: 'Copy' }, (_, i) => i.value);
  const plain: number[] = [];
  const initial: number[] = [];
  const first = a.subscribe(() => {
    first[Symbol.dispose]();
    const push = (to: number[]) => (events: readonly Event<number>[]) => to.push(...events.map((e) => (e.type === 'delete' ? -1 : e.new)));
    copy.subscribe(push(plain));
    copy.subscribe(push(initial), { initial: true });
  });
  a.markSynced();
  a.set({ key: 'x', value: 1 });
  graph.flush();
  expect([plain, initial]).toEqual([[], []]);
  a.set({ key: 'y', value: 2 });
  graph.flush();
  expect([plain, initial]).toEqual([[2], [1, 2]]);
});

test('a subscriber that throws does not keep the others from hearing', () => {
  const errors: string[] = [];
  const graph = new Graph({ schedule: () => {}, onError: (collection, _, e) => errors.push(`${collection}: ${(e as Error).message}`) });
  const a = source(graph, { name: 'A', key: itemKey });
  let heard = 0;
  a.subscribe(() => {
    throw new Error('broken');
  });
  a.subscribe(() => heard++);
  a.markSynced();
  a.set({ key: 'x', value: 1 });
  graph.flush();
  expect([heard, errors]).toEqual([1, ['A: broken']]);

  const unheard = new Graph({ schedule: () => {} });
  const b = source(unheard, { name: 'B', key: itemKey });
  b.markSynced();
  b.subscribe(() => {
    throw new Error('an expectation of a test');
  });
  b.set({ key: 'x', value: 1 });
  expect(() => unheard.flush()).toThrow('an expectation of a test');
  expect(() => unheard.flush()).not.toThrow();
});

test('dump and mermaid show inputs, outputs and dependencies', () => {
  const { graph } = manual();
  const a = source(graph, { name: 'A', key: itemKey });
  const b = source(graph, { name: 'B', key: itemKey });
  const byValue = b.index('value', (i) => [String(i.value)]);
  const copy = map(graph, a, { name: 'Copy', key: (o: Item) => `copy-${o.key}` }, (ctx, i) => {
    ctx.fetchOne(b, i.key);
    ctx.fetch(b, { index: byValue, is: '7', where: (o) => o.value > 1 });
    ctx.fetch(b, { where: (o) => o.value > 1 });
    return i;
  });
  const one = singleton(graph, { name: 'One' }, (ctx) => ctx.fetch(copy).length);
  a.markSynced();
  b.markSynced();
  a.set({ key: 'x', value: 1 });
  graph.flush();
  expect(one.get('One')).toBe(1);
  const dump = graph.dump({ values: true });
  expect(dump).toMatchObject({ sequence: 1, synced: true });
  expect(dump.collections.map((c) => c.name)).toEqual(['A', 'B', 'Copy', 'One']);
  expect(dump.collections[1]?.indexes).toEqual(['value']);
  expect(dump.collections[2]).toEqual({
    id: 2,
    name: 'Copy',
    kind: 'map',
    size: 1,
    transforms: 1,
    errors: 0,
    scans: 1,
    inputs: ['A'],
    fetches: ['B'],
    indexes: [],
    keys: ['copy-x'],
    values: { 'copy-x': { key: 'x', value: 1 } },
    rows: {
      x: {
        outputs: ['copy-x'],
        dependencies: [
          { collection: 'B', key: 'x' },
          { collection: 'B', index: 'value', is: '7', where: true },
          { collection: 'B', scan: true },
        ],
      },
    },
  });
  expect(JSON.parse(JSON.stringify(dump))).toEqual(dump);
  expect(graph.dump({ collections: ['A'] }).collections[0]).not.toHaveProperty('values');
  expect(graph.mermaid().split('\n')).toEqual([
    'flowchart LR',
    '  c0(["A<br/>source: 1"])',
    '  c1(["B<br/>source: 0"])',
    '  c2["Copy<br/>map: 1"]',
    '  c3["One<br/>singleton: 1"]',
    '  c0 --> c2',
    '  c1 -.-> c2',
    '  c2 -.-> c3',
    '',
  ]);
});
