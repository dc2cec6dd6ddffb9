import { describe, expect, test } from 'vitest';
import type { Collection, Event } from './index.ts';
import { anyOf, flatMap, Graph, group, join, map, singleton, source } from './index.ts';

/** What every kind of collection must do, whatever it is made of. */

interface Item {
  readonly key: string;
  readonly value: number;
}

interface Subject {
  readonly graph: Graph;
  readonly collection: Collection<unknown>;
  readonly put: (key: string, value: number) => void;
  readonly remove: (key: string) => void;
  /** The value inside one object of the collection. */
  readonly read: (object: unknown) => number;
  /** The keys that the collection can hold. */
  readonly keys: readonly [string, string];
}

const read = (object: unknown): number => (object as Item).value;

function base(): Pick<Subject, 'graph' | 'put' | 'remove'> & { items: ReturnType<typeof source<Item>> } {
  const graph = new Graph({ schedule: () => {} });
  const items = source<Item>(graph, { name: 'Items', key: (i) => i.key });
  items.markSynced();
  return { graph, items, put: (key, value) => items.set({ key, value }), remove: (key) => items.delete(key) };
}

const kinds: Record<string, () => Subject> = {
  source: () => {
    const b = base();
    return { ...b, collection: b.items, read, keys: ['a', 'b'] };
  },
  map: () => {
    const b = base();
    return { ...b, collection: map(b.graph, b.items, { name: 'Map' }, (_, i) => ({ ...i })), read, keys: ['a', 'b'] };
  },
  'map with keys': () => {
    const b = base();
    const collection = map(b.graph, b.items, { name: 'Map', key: (i: Item) => `of-${i.key}` }, (_, i) => ({ ...i }));
    return { ...b, collection, read, keys: ['of-a', 'of-b'], put: (k, v) => b.put(k.slice(3), v), remove: (k) => b.remove(k.slice(3)) };
  },
  flatMap: () => {
    const b = base();
    // Two objects from each input; the battery looks at the first of them.
    const all = flatMap(b.graph, b.items, { name: 'FlatMap', key: (i: Item) => i.key }, (_, i) => [
      { ...i },
      { key: `${i.key}-second`, value: i.value },
    ]);
    const collection = map(b.graph, all, { name: 'First' }, (_, i) => (i.key.endsWith('second') ? undefined : i));
    return { ...b, collection, read, keys: ['a', 'b'] };
  },
  join: () => {
    const b = base();
    const odd = map(b.graph, b.items, { name: 'Odd' }, (_, i) => (i.value % 2 ? i : undefined));
    const even = map(b.graph, b.items, { name: 'Even' }, (_, i) => (i.value % 2 ? undefined : i));
    return { ...b, collection: join(b.graph, { name: 'Join' }, [odd, even]), read, keys: ['a', 'b'] };
  },
  group: () => {
    const b = base();
    const index = b.items.index('key', (i) => [i.key]);
    return {
      ...b,
      collection: group(b.graph, { name: 'Group' }, index),
      read: (g) => read((g as { items: Item[] }).items[0]),
      keys: ['a', 'b'],
    };
  },
  anyOf: () => {
    const b = base();
    const index = b.items.index('key', (i) => [i.key]);
    return { ...b, collection: anyOf(b.graph, { name: 'AnyOf' }, index), read, keys: ['a', 'b'] };
  },
  singleton: () => {
    const b = base();
    const collection = singleton(b.graph, { name: 'Singleton' }, (ctx) => ctx.fetchOne(b.items, 'Singleton'));
    return { ...b, collection, read, keys: ['Singleton', 'Singleton'] };
  },
};

function record(c: Collection<unknown>, o?: { initial?: boolean }): Event<unknown>[][] {
  const batches: Event<unknown>[][] = [];
  c.subscribe((events) => batches.push([...events]), o);
  return batches;
}

describe.each(Object.entries(kinds))('%s', (kind, make) => {
  const many = kind !== 'singleton';

  test('holds what was put, after a flush', () => {
    const s = make();
    s.put(s.keys[0], 1);
    s.put(s.keys[1], 2);
    s.graph.flush();
    expect(s.collection.size).toBe(many ? 2 : 1);
    expect(
      s.collection
        .list()
        .map(s.read)
        .toSorted((a, b) => a - b),
    ).toEqual(many ? [1, 2] : [2]);
    expect(s.read(s.collection.get(s.keys[1]))).toBe(2);
    s.remove(s.keys[1]);
    s.graph.flush();
    expect(s.collection.get(s.keys[1])).toBeUndefined();
    expect(s.collection.size).toBe(many ? 1 : 0);
    expect(s.collection.get('nobody')).toBeUndefined();
  });

  test('emits one batch a flush with the net change of each key', () => {
    const s = make();
    const batches = record(s.collection);
    const [key] = s.keys;
    s.put(key, 1);
    s.put(key, 2);
    s.graph.flush();
    expect(batches).toHaveLength(1);
    expect(batches[0]?.map((e) => [e.type, e.key])).toEqual([['add', key]]);
    const added = s.collection.get(key);

    s.put(key, 3);
    s.put(key, 4);
    s.graph.flush();
    expect(batches).toHaveLength(2);
    const update = batches[1]?.[0];
    expect(update).toEqual({ type: 'update', key, old: added, new: s.collection.get(key) });
    expect(update?.type === 'update' && s.read(update.new)).toBe(4);

    s.remove(key);
    s.graph.flush();
    expect(batches[2]?.map((e) => [e.type, e.type === 'delete' && s.read(e.old)])).toEqual([['delete', 4]]);
  });

  test('says nothing about what comes back to where it was', () => {
    const s = make();
    const [key] = s.keys;
    s.put(key, 1);
    s.graph.flush();
    const batches = record(s.collection);
    s.put(key, 1);
    s.graph.flush();
    s.put(key, 2);
    s.put(key, 1);
    s.graph.flush();
    s.remove(key);
    s.put(key, 1);
    s.graph.flush();
    s.remove('other');
    s.put('other', 1);
    s.remove('other');
    s.graph.flush();
    expect(batches).toEqual([]);
    s.remove(key);
    s.put(key, 2);
    s.graph.flush();
    expect(batches.flat().map((e) => e.type)).toEqual(['update']);
  });

  test('gives late subscribers what exists, once, if they want it', () => {
    const s = make();
    const [key] = s.keys;
    s.put(key, 1);
    s.graph.flush();
    const plain = record(s.collection);
    const initial = record(s.collection, { initial: true });
    expect(initial).toEqual([]);
    s.put(key, 3);
    s.graph.flush();
    expect(plain.flat().map((e) => e.type)).toEqual(['update']);
    expect(initial).toEqual([[{ type: 'add', key, new: s.collection.get(key) }]]);
    s.graph.flush();
    s.remove(key);
    s.graph.flush();
    expect(initial.flat().map((e) => e.type)).toEqual(['add', 'delete']);
  });

  test('stops calling a disposed subscriber', () => {
    const s = make();
    const batches: unknown[] = [];
    const subscription = s.collection.subscribe((events) => batches.push(events));
    s.put(s.keys[0], 1);
    s.graph.flush();
    subscription[Symbol.dispose]();
    s.put(s.keys[0], 2);
    s.graph.flush();
    expect(batches).toHaveLength(1);
  });

  test('keeps indexes current, whether made before or after the objects', () => {
    const s = make();
    const parity = (o: unknown): string[] => [s.read(o) % 2 ? 'odd' : 'even', 'all'];
    const early = s.collection.index('early', parity);
    s.put(s.keys[0], 1);
    s.graph.flush();
    const late = s.collection.index('late', (o) => parity(o));
    const seen = early.lookup('odd');
    for (const index of [early, late]) {
      expect(index.collection).toBe(s.collection);
      expect(index.lookup('odd').map(s.read)).toEqual([1]);
      expect(index.lookup('even')).toEqual([]);
    }
    s.put(s.keys[0], 2);
    s.graph.flush();
    for (const index of [early, late]) {
      expect(index.lookup('odd')).toEqual([]);
      expect(index.lookup('even').map(s.read)).toEqual([2]);
      expect([...index.keys()].sort()).toEqual(['all', 'even']);
    }
    expect(seen.map(s.read)).toEqual([1]);
    s.remove(s.keys[0]);
    s.graph.flush();
    expect(early.lookup('all')).toEqual([]);
    expect([...late.keys()]).toEqual([]);
  });

  test('feeds collections made before and after it has objects', () => {
    const s = make();
    const early = map(s.graph, s.collection, { name: 'Early' }, (_, o) => s.read(o) * 10);
    s.put(s.keys[0], 1);
    s.graph.flush();
    const late = map(s.graph, s.collection, { name: 'Late' }, (_, o) => s.read(o) * 10);
    expect(late.size).toBe(0);
    s.graph.flush();
    expect([early.list(), late.list()]).toEqual([[10], [10]]);
    s.put(s.keys[0], 2);
    s.graph.flush();
    expect([early.list(), late.list()]).toEqual([[20], [20]]);
    s.remove(s.keys[0]);
    s.graph.flush();
    expect([early.list(), late.list()]).toEqual([[], []]);
  });

  test('can be fetched by key, index and scan', () => {
    const s = make();
    const index = s.collection.index('parity', (o) => [s.read(o) % 2 ? 'odd' : 'even']);
    const [key] = s.keys;
    const view = singleton(s.graph, { name: 'View' }, (ctx) => ({
      one: ctx.fetchOne(s.collection, key) !== undefined,
      keys: ctx.fetch(s.collection, { keys: [key, 'nobody'] }).map(s.read),
      odd: ctx.fetch(s.collection, { index, is: 'odd' }).map(s.read),
      oddAndLarge: ctx.fetch(s.collection, { index, is: 'odd', where: (o) => s.read(o) > 4 }).map(s.read),
      large: ctx.fetch(s.collection, { where: (o) => s.read(o) > 4 }).map(s.read),
      all: ctx.fetch(s.collection).map(s.read),
    }));
    for (const v of [1, 5, 6, 3]) {
      s.put(key, v);
      s.graph.flush();
      expect(view.get('View')).toEqual({
        one: true,
        keys: [v],
        odd: v % 2 ? [v] : [],
        oddAndLarge: v % 2 && v > 4 ? [v] : [],
        large: v > 4 ? [v] : [],
        all: [v],
      });
    }
    s.remove(key);
    s.graph.flush();
    expect(view.get('View')).toEqual({ one: false, keys: [], odd: [], oddAndLarge: [], large: [], all: [] });
  });

  test('holds frozen objects', () => {
    const s = make();
    s.put(s.keys[0], 1);
    s.graph.flush();
    expect(() => {
      (s.collection.get(s.keys[0]) as { value: number }).value = 2;
    }).toThrow(TypeError);
  });

  test('appears in stats, dump and mermaid', () => {
    const s = make();
    s.put(s.keys[0], 1);
    s.graph.flush();
    const { name } = s.collection;
    expect(s.graph.stats().find((c) => c.name === name)).toMatchObject({ size: 1, errors: 0 });
    expect(s.graph.dump({ collections: [name] }).collections).toMatchObject([{ name, size: 1, keys: [s.keys[0]] }]);
    expect(s.graph.mermaid()).toContain(name);
  });
});
