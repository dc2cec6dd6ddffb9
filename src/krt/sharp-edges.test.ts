import { describe, expect, test, vi } from 'vitest';
import type { Collection, Ctx } from './index.ts';
import { deepEqual, flatMap, Graph, group, join, KrtAssertionError, map, singleton, source } from './index.ts';

/** Each way in which krt collections have gone wrong elsewhere, and what happens here. */

interface Item {
  readonly id: string;
  readonly value: number;
}

function world(o: { assertions?: boolean; verifyPurity?: boolean } = {}) {
  const errors: { collection: string; key: string; message: string }[] = [];
  const graph = new Graph({
    schedule: () => {},
    onError: (collection, key, e) => errors.push({ collection, key, message: (e as Error).message }),
    ...o,
  });
  const items = source<Item>(graph, { name: 'Items', key: (i) => i.id });
  items.markSynced();
  return { graph, items, errors };
}

describe('a transform that throws', () => {
  const failing = (o: { assertions?: boolean }) => {
    const w = world(o);
    const limits = source<Item>(w.graph, { name: 'Limits', key: (i) => i.id });
    limits.markSynced();
    const out = map(w.graph, w.items, { name: 'Out' }, (ctx, i) => {
      const limit = ctx.fetchOne(limits, 'limit')?.value ?? 10;
      if (i.value > limit) throw new Error(`over ${limit}`);
      return i.value;
    });
    return { ...w, limits, out };
  };

  test.each([true, false])('keeps the last good output, is reported and counted (assertions %s)', (assertions) => {
    const { graph, items, limits, out, errors } = failing({ assertions });
    items.set({ id: 'x', value: 1 });
    items.set({ id: 'y', value: 99 });
    graph.flush();
    items.set({ id: 'x', value: 11 });
    graph.flush();
    expect([out.get('x'), out.get('y')]).toEqual([1, undefined]);
    expect(errors).toEqual([
      { collection: 'Out', key: 'y', message: 'over 10' },
      { collection: 'Out', key: 'x', message: 'over 10' },
    ]);
    expect(graph.stats().find((s) => s.name === 'Out')).toMatchObject({ transforms: 3, errors: 2 });
    // It recovers when anything that it read changes.
    limits.set({ id: 'limit', value: 50 });
    graph.flush();
    expect([out.get('x'), out.get('y')]).toEqual([11, undefined]);
    items.delete('y');
    items.delete('x');
    graph.flush();
    expect(out.size).toBe(0);
  });

  test('a key function that throws, or gives no string, counts as the transform', () => {
    const { graph, items, errors } = world();
    const keys: ((o: Item) => string)[] = [
      (o) => {
        throw new Error(`no key for ${o.value}`);
      },
      () => undefined as unknown as string,
    ];
    const outs = keys.map((key, n) => map(graph, items, { name: `Out${n}`, key }, (_, i) => i));
    items.set({ id: 'x', value: 1 });
    graph.flush();
    expect(outs.map((o) => o.size)).toEqual([0, 0]);
    expect(errors.map((e) => e.message)).toEqual(['no key for 1', 'krt: Out1: the key of an output is undefined, not a string']);
  });

  test('so does a predicate; the input runs again whenever the predicate cannot tell', () => {
    const { graph, items, errors } = world();
    const out = singleton(graph, { name: 'Out' }, (ctx) =>
      ctx.fetch(items, {
        where: (i) => {
          if (i.value < 0) throw new Error('negative');
          return true;
        },
      }),
    );
    items.set({ id: 'x', value: 1 });
    graph.flush();
    items.set({ id: 'y', value: -1 });
    graph.flush();
    expect([out.get('Out')?.length, errors.map((e) => e.message)]).toEqual([1, ['negative']]);
    items.delete('y');
    items.set({ id: 'z', value: 2 });
    graph.flush();
    expect(out.get('Out')?.length).toBe(2);
  });

  test('an index function that throws leaves the object out of the index and is reported', () => {
    const { graph, items, errors } = world();
    const index = items.index('inverse', (i) => {
      if (i.value === 0) throw new Error('zero');
      return [String(1 / i.value)];
    });
    items.set({ id: 'x', value: 0 });
    items.set({ id: 'y', value: 2 });
    graph.flush();
    expect([index.lookup('0.5').length, errors[0]?.message]).toEqual([1, 'index inverse has no keys for this object']);
    items.set({ id: 'x', value: 2 });
    expect(index.lookup('0.5')).toHaveLength(2);
  });

  test('without onError, the process is warned', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const graph = new Graph({ schedule: () => {} });
    const items = source<Item>(graph, { name: 'Items', key: (i) => i.id });
    items.markSynced();
    map(graph, items, { name: 'Out' }, () => {
      throw new Error('broken');
    });
    items.set({ id: 'x', value: 1 });
    graph.flush();
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('krt: Out: x: Error: broken'));
    warn.mockRestore();
  });
});

describe('an output key of two inputs', () => {
  const claims = (w: ReturnType<typeof world>): Collection<Item> =>
    flatMap(w.graph, w.items, { name: 'Claims', key: (o: Item) => o.id }, (_, i) =>
      i.value < 0 ? [] : [{ id: 'shared', value: i.value }],
    );

  test('throws with both inputs named when assertions are on, and the graph goes on', () => {
    const w = world();
    const out = claims(w);
    w.items.set({ id: 'x', value: 1 });
    w.items.set({ id: 'y', value: 2 });
    expect(() => w.graph.flush()).toThrow('krt: Claims: output key shared comes from input x and from input y');
    w.items.delete('y');
    w.graph.flush();
    expect(out.list()).toEqual([{ id: 'shared', value: 1 }]);
  });

  test('in production the last writer wins, and the other is heard again when the first gives way', () => {
    const w = world({ assertions: false });
    const out = claims(w);
    const value = () => out.get('shared')?.value;
    w.items.set({ id: 'x', value: 1 });
    w.items.set({ id: 'y', value: 2 });
    w.items.set({ id: 'z', value: 3 });
    w.graph.flush();
    expect(value()).toBe(3);
    expect(w.errors.map((e) => [e.collection, e.key])).toEqual([
      ['Claims', 'shared'],
      ['Claims', 'shared'],
    ]);
    w.items.set({ id: 'x', value: 10 });
    w.graph.flush();
    expect(value()).toBe(10);
    w.items.set({ id: 'x', value: -1 });
    w.graph.flush();
    expect(value()).toBe(3);
    w.items.delete('y');
    w.graph.flush();
    expect(value()).toBe(3);
    w.items.delete('z');
    w.graph.flush();
    expect([value(), out.size]).toEqual([undefined, 0]);
    w.items.set({ id: 'x', value: 4 });
    w.graph.flush();
    expect([value(), w.errors.length]).toEqual([4, 3]);
  });

  test('the same key twice from one input is a conflict too', () => {
    const twice = (w: ReturnType<typeof world>) =>
      flatMap(w.graph, w.items, { name: 'Twice', key: (o: Item) => o.id }, (_, i) => [
        { id: 'k', value: i.value },
        { id: 'k', value: i.value + 1 },
      ]);
    const strict = world();
    twice(strict);
    strict.items.set({ id: 'x', value: 1 });
    expect(() => strict.graph.flush()).toThrow('output key k comes from input x and from input x');
    const lax = world({ assertions: false });
    const out = twice(lax);
    lax.items.set({ id: 'x', value: 1 });
    lax.graph.flush();
    expect([out.get('k')?.value, out.size, lax.errors.length]).toEqual([2, 1, 1]);
    lax.items.delete('x');
    lax.graph.flush();
    expect(out.size).toBe(0);
  });

  test('joined collections must be disjoint', () => {
    const joined = (w: ReturnType<typeof world>) => {
      const other = source<Item>(w.graph, { name: 'Other', key: (i) => i.id });
      other.markSynced();
      return { other, out: join(w.graph, { name: 'Joined' }, [w.items, other]) };
    };
    const strict = world();
    const s = joined(strict);
    strict.items.set({ id: 'x', value: 1 });
    s.other.set({ id: 'x', value: 2 });
    expect(() => strict.graph.flush()).toThrow('krt: Joined: key x is in Items and in Other');
    const lax = world({ assertions: false });
    const l = joined(lax);
    lax.items.set({ id: 'x', value: 1 });
    l.other.set({ id: 'x', value: 2 });
    lax.graph.flush();
    expect([l.out.get('x')?.value, lax.errors.length > 0]).toEqual([2, true]);
    lax.items.set({ id: 'x', value: 3 });
    lax.graph.flush();
    expect(l.out.get('x')?.value).toBe(2);
    l.other.delete('x');
    lax.graph.flush();
    expect(l.out.get('x')?.value).toBe(3);
  });
});

describe('order of creation', () => {
  test('reading a later collection throws with both names', () => {
    const { graph, items } = world();
    let later: Collection<number> | undefined;
    map(graph, items, { name: 'Early' }, (ctx, i) => later && ctx.fetchOne(later, i.id));
    later = map(graph, items, { name: 'Later' }, (_, i) => i.value);
    items.set({ id: 'x', value: 1 });
    expect(() => graph.flush()).toThrow('krt: Early reads Later, which is created later: create Later before Early');
  });

  test('in production it is an error of the transform', () => {
    const { graph, items, errors } = world({ assertions: false });
    let self: Collection<number> | undefined = undefined;
    self = map(graph, items, { name: 'Self' }, (ctx: Ctx, i): number | undefined => self && ctx.fetchOne<number>(self, i.id));
    items.set({ id: 'x', value: 1 });
    graph.flush();
    expect(errors[0]?.message).toContain('Self reads Self, which is created by this very call');
  });

  test('collections are not created inside transforms, nor taken from other graphs', () => {
    const { graph, items } = world();
    const foreign = world();
    map(graph, items, { name: 'Out' }, (_, i) => map(graph, items, { name: `Inner-${i.id}` }, () => 1).size);
    items.set({ id: 'x', value: 1 });
    expect(() => graph.flush()).toThrow('Inner-x is created inside a transform');
    expect(() => map(graph, foreign.items, { name: 'Mixed' }, () => 1)).toThrow('belongs to another graph');
    expect(() => source<Item>(graph, { name: 'Items', key: (i) => i.id })).toThrow('two collections named Items');
  });
});

describe('impure transforms', () => {
  test('reading around ctx throws: the read would not be recorded', () => {
    const reads: ((w: ReturnType<typeof world>) => unknown)[] = [
      (w) => w.items.get('x'),
      (w) => w.items.list(),
      (w) => w.items.index('id', (i) => [i.id]).lookup('x'),
    ];
    for (const read of reads) {
      const w = world();
      map(w.graph, w.items, { name: 'Out' }, () => String(read(w)));
      w.items.set({ id: 'x', value: 1 });
      expect(() => w.graph.flush()).toThrow('krt: Out reads Items directly');
    }
  });

  test('writing a source, flushing, or using ctx later throws', () => {
    const w = world();
    let kept: Ctx | undefined;
    map(w.graph, w.items, { name: 'Keeps' }, (ctx) => void (kept = ctx));
    w.items.set({ id: 'x', value: 1 });
    w.graph.flush();
    expect(() => kept?.fetchOne(w.items, 'x')).toThrow('krt: Keeps reads Items after its transform returned');
    map(w.graph, w.items, { name: 'Writes' }, () => w.items.set({ id: 'z', value: 1 }));
    expect(() => w.graph.flush()).toThrow('krt: Writes writes Items');
    expect(w.items.size).toBe(1);
    const again = world();
    map(again.graph, again.items, { name: 'Flushes' }, () => again.graph.flush());
    again.items.set({ id: 'x', value: 1 });
    expect(() => again.graph.flush()).toThrow('krt: flush() inside a transform');
  });

  test('verifyPurity finds state outside the collections', () => {
    const w = world({ verifyPurity: true });
    let counter = 0;
    map(w.graph, w.items, { name: 'Counts' }, (_, i) => i.value + counter++);
    w.items.set({ id: 'x', value: 1 });
    expect(() => w.graph.flush()).toThrow('krt: Counts: two runs over input x differ');
    expect(w.graph.stats().find((s) => s.name === 'Counts')?.transforms).toBe(1);
  });

  test('mutating what a collection holds throws', () => {
    const w = world();
    const bytes = Buffer.from('abc');
    const shared = { list: [{ deep: 1 }], bytes, map: new Map([['k', 1]]) };
    const out = map(w.graph, w.items, { name: 'Out' }, () => shared);
    w.items.set({ id: 'x', value: 1 });
    w.graph.flush();
    const held = out.get('x');
    expect(() => held?.list.push({ deep: 2 })).toThrow(TypeError);
    expect(() => Object.assign(held?.list[0] ?? {}, { deep: 2 })).toThrow(TypeError);
    expect(() => (w.items.list() as Item[]).pop()).toThrow(TypeError);
    expect(() => Object.assign(w.items.get('x') ?? {}, { value: 2 })).toThrow(TypeError);
    held?.map.set('l', 2);
    bytes[0] = 0x7a;
    expect([held?.map.size, held?.bytes.toString()]).toEqual([2, 'zbc']);
    const lax = world({ assertions: false });
    const item = { id: 'x', value: 1 };
    lax.items.set(item);
    expect(Object.isFrozen(item)).toBe(false);
  });
});

test('two functions under one index name throw: they would alias', () => {
  const { items } = world();
  const keysOf = (i: Item): string[] => [i.id];
  const index = items.index('id', keysOf);
  expect(items.index('id', keysOf)).toBe(index);
  expect(() => items.index('id', (i) => [String(i.value)])).toThrow('krt: Items already has an index id with another function');
});

test('an index of another collection is refused', () => {
  const { graph, items } = world();
  const other = source<Item>(graph, { name: 'Other', key: (i) => i.id });
  other.markSynced();
  const index = other.index('id', (i) => [i.id]);
  singleton(graph, { name: 'Out' }, (ctx) => ctx.fetch(items, { index, is: 'x' }).length);
  expect(() => graph.flush()).toThrow('krt: Out fetches Items by an index of Other');
});

test('index keys that repeat count once', () => {
  const { graph, items } = world();
  const index = items.index('twice', (i) => [i.id, i.id]);
  items.set({ id: 'x', value: 1 });
  items.set({ id: 'x', value: 2 });
  expect(index.lookup('x')).toEqual([{ id: 'x', value: 2 }]);
  const groups = group(graph, { name: 'Groups' }, index);
  graph.flush();
  expect(groups.get('x')?.items).toHaveLength(1);
  items.delete('x');
  graph.flush();
  expect([groups.size, [...index.keys()]]).toEqual([0, []]);
});

test('an equal object replaces the stored one silently, in indexes too', () => {
  const { graph } = world();
  const pods = source<Item & { readonly rv: string }>(graph, { name: 'Pods', key: (p) => p.id, equals: (a, b) => a.rv === b.rv });
  pods.markSynced();
  const index = pods.index('id', (p) => [p.id]);
  let batches = 0;
  pods.subscribe(() => batches++);
  pods.set({ id: 'x', value: 1, rv: '1' });
  graph.flush();
  const held = index.lookup('x');
  const newest = { id: 'x', value: 2, rv: '1' };
  pods.set(newest);
  expect(graph.dirty).toBe(false);
  graph.flush();
  expect(pods.get('x')).toBe(newest);
  expect([index.lookup('x')[0]?.value, held[0]?.value, pods.list()[0]?.value, batches]).toEqual([2, 1, 2, 1]);
  const late = map(graph, pods, { name: 'Late' }, (_, p) => p.value);
  graph.flush();
  expect(late.get('x')).toBe(2);
});

test('an object that leaves a filter triggers as well as one that enters', () => {
  const { graph, items } = world();
  const large = singleton(graph, { name: 'Large' }, (ctx) => ctx.fetch(items, { where: (i) => i.value > 5 }).map((i) => i.id));
  const counts: unknown[] = [];
  for (const value of [1, 6, 7, 2, 3]) {
    items.set({ id: 'x', value });
    graph.flush();
    counts.push([large.get('Large')?.length, graph.stats().find((s) => s.name === 'Large')?.transforms]);
  }
  expect(counts).toEqual([
    [0, 1],
    [1, 2],
    [1, 3],
    [0, 4],
    [0, 4],
  ]);
});

test('un-indexed fetches show in the stats', () => {
  const { graph, items } = world();
  const other = source<Item>(graph, { name: 'Other', key: (i) => i.id });
  other.markSynced();
  map(graph, items, { name: 'Scans' }, (ctx) => ctx.fetch(other).length);
  for (const id of ['a', 'b', 'c']) items.set({ id, value: 1 });
  graph.flush();
  items.delete('a');
  graph.flush();
  expect(graph.stats().find((s) => s.name === 'Scans')?.scans).toBe(2);
});

test('equality: plain data by structure, bytes by content, other instances by reference or their own equals', () => {
  class Opaque {
    readonly #value: number;
    constructor(value: number) {
      this.#value = value;
    }
    value(): number {
      return this.#value;
    }
  }
  class Comparable extends Opaque {
    equals(o: Comparable): boolean {
      return this.value() === o.value();
    }
  }
  const opaque = new Opaque(1);
  const equal: [unknown, unknown][] = [
    [1, 1],
    [NaN, NaN],
    [undefined, undefined],
    [{ a: [1, { b: null }] }, { a: [1, { b: null }] }],
    [Object.create(null), {}],
    [Buffer.from('ab'), Buffer.from('ab')],
    [new Uint16Array([1, 2]), new Uint16Array([1, 2])],
    [new Map([['a', { x: 1 }]]), new Map([['a', { x: 1 }]])],
    [new Set(['a']), new Set(['a'])],
    [opaque, opaque],
    [{ c: new Comparable(1) }, { c: new Comparable(1) }],
  ];
  for (const [a, b] of equal) expect([a, b, deepEqual(a, b)]).toEqual([a, b, true]);
  const different: [unknown, unknown][] = [
    [1, 2],
    [1, '1'],
    [null, undefined],
    [null, {}],
    [[], {}],
    [{}, []],
    [[1], [1, 2]],
    [{ a: undefined }, {}],
    [{ a: undefined }, { b: undefined }],
    [{ a: 1 }, { a: 2 }],
    [Buffer.from('ab'), Buffer.from('ac')],
    [Buffer.from('ab'), Buffer.from('abc')],
    [Buffer.from('ab'), new Uint8Array([97, 98])],
    [new Map([['a', 1]]), new Map([['b', 1]])],
    [new Map([['a', undefined]]), new Map([['b', undefined]])],
    [new Set(['a']), new Set(['b'])],
    [new Set(['a']), new Set(['a', 'b'])],
    [new Opaque(1), new Opaque(1)],
    [new Comparable(1), new Comparable(2)],
    [new Comparable(1), new Opaque(1)],
  ];
  for (const [a, b] of different) expect([a, b, deepEqual(a, b)]).toEqual([a, b, false]);
});

test('assertion errors can be told apart', () => {
  const w = world();
  singleton(w.graph, { name: 'Out' }, () => w.items.size + w.items.list().length);
  expect(() => w.graph.flush()).toThrow(KrtAssertionError);
  expect(w.errors).toEqual([]);
});
