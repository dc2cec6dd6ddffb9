import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyOf, count, Graph, source } from './index.ts';

interface Item {
  readonly id: number;
  readonly in: readonly string[];
}

/** Buckets change their form when they grow; what was handed out must never change. */
test('an index equals a filter over all objects, and its snapshots never change', () => {
  const indexKey = fc.constantFrom('a', 'b', 'c');
  const set = fc.record({ id: fc.nat(99), in: fc.subarray(['a', 'b', 'c']) });
  const operation = fc.oneof({ weight: 9, arbitrary: set }, { weight: 2, arbitrary: fc.nat(99) }, { weight: 1, arbitrary: indexKey });
  fc.assert(
    fc.property(fc.boolean(), fc.array(operation, { maxLength: 400, size: 'max' }), (assertions, operations) => {
      const graph = new Graph({ schedule: () => {}, assertions });
      const items = source<Item>(graph, { name: 'Items', key: (i) => String(i.id) });
      items.markSynced();
      const index = items.index('in', (i) => i.in);
      const counts = count(graph, { name: 'Counts' }, index);
      const some = anyOf(graph, { name: 'Some' }, index);
      const ids = (of: readonly Item[]): number[] => of.map((i) => i.id).toSorted((a, b) => a - b);
      const held: { readonly items: readonly Item[]; readonly copy: readonly Item[] }[] = [];
      for (const op of operations) {
        if (typeof op === 'number') items.delete(String(op));
        else if (typeof op === 'object') items.set(op);
        else {
          const found = index.lookup(op);
          held.push({ items: found, copy: [...found] });
          expect(ids(found)).toEqual(ids(items.list().filter((i) => i.in.includes(op))));
          for (const i of found) expect(items.get(String(i.id))).toBe(i);
          graph.flush();
          expect(counts.get(op)?.count ?? 0).toBe(found.length);
          const one = some.get(op);
          expect(found.length === 0 ? one === undefined : one && found.some((i) => i.id === one.id)).toBe(true);
        }
      }
      for (const h of held) expect(h.items).toEqual(h.copy);
      expect([...index.keys()].toSorted()).toEqual([...new Set(items.list().flatMap((i) => i.in))].toSorted());
    }),
    { numRuns: 100 },
  );
});
