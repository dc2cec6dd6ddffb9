import type { Collection, Index } from './collection.ts';
import type { Graph } from './graph.ts';
import type { KeyedIndex } from './keyed-index.ts';
import type { AnyStore } from './store.ts';
import { Store, storeOf } from './store.ts';

/** The objects of a collection that share an index key. */
export interface Group<T> {
  readonly key: string;
  /** In undefined order. */
  readonly items: readonly T[];
}

/**
 * GROUP BY: one object for each key of `index` that has objects. Events are exact: a group is updated when an object enters, leaves or changes,
 * added with its first and deleted with its last. A change costs one copy of the group's array, whatever the size of the collection.
 */
export function group<T>(g: Graph, o: { readonly name: string }, index: Index<T>): Collection<Group<T>> {
  return new Grouped<T>(g, o.name, storeOf(g, index.collection), index as KeyedIndex<T>);
}

class Grouped<T> extends Store<Group<T>> {
  readonly kind = 'group';
  readonly #input: Store<T>;
  readonly #index: KeyedIndex<T>;
  readonly #touched = new Set<string>();
  #started = false;

  constructor(graph: Graph, name: string, input: Store<T>, index: KeyedIndex<T>) {
    // A group is rebuilt only when an object of it changed, so no two versions of it are equal.
    super(graph, name, () => false);
    this.#input = input;
    this.#index = index;
    input.dependents.push(this as unknown as AnyStore);
    graph.markDirty(this as unknown as AnyStore);
  }

  override refresh(): void {
    if (this.#started) {
      for (const e of this.#input.changes) {
        if (e.type !== 'add') this.#touch(e.key, e.old);
        if (e.type !== 'delete') this.#touch(e.key, e.new);
      }
      for (const key of this.#touched) this.#rebuild(key);
      this.#touched.clear();
    } else {
      this.#started = true;
      for (const key of this.#index.peekKeys()) this.#rebuild(key);
    }
    this.changes = this.settle();
  }

  override inputs(): readonly AnyStore[] {
    return [this.#input as unknown as AnyStore];
  }

  #touch(key: string, value: T): void {
    for (const k of this.#index.keysOf(key, value)) this.#touched.add(k);
  }

  #rebuild(key: string): void {
    const items = this.#index.peek(key);
    if (items.length === 0) this.drop(key);
    else this.write(key, this.graph.assertions ? Object.freeze({ key, items }) : { key, items });
  }
}
