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

/** How many objects of a collection share an index key. */
export interface Count {
  readonly key: string;
  readonly count: number;
}

/** GROUP BY that counts: like `group`, and a change costs the same however many objects there are. */
export function count<T>(g: Graph, o: { readonly name: string }, index: Index<T>): Collection<Count> {
  return new Counted<T>(g, o.name, storeOf(g, index.collection), index as KeyedIndex<T>);
}

/**
 * One of the objects of each index key, for objects that say the same under one key: who needs any of them need not hear of the others.
 * A change costs the same however many objects there are.
 */
export function anyOf<T>(g: Graph, o: { readonly name: string }, index: Index<T>): Collection<T> {
  return new AnyOf<T>(g, o.name, storeOf(g, index.collection), index as KeyedIndex<T>);
}

/** One object for each key of an index of another collection. */
abstract class PerKey<T, O> extends Store<O> {
  readonly #input: Store<T>;
  protected readonly of: KeyedIndex<T>;
  readonly #touched = new Set<string>();
  #started = false;

  constructor(graph: Graph, name: string, input: Store<T>, index: KeyedIndex<T>, equals?: (a: O, b: O) => boolean) {
    super(graph, name, equals);
    this.#input = input;
    this.of = index;
    input.dependents.push(this as unknown as AnyStore);
    graph.markDirty(this as unknown as AnyStore);
  }

  override refresh(): void {
    if (this.#started) {
      for (const e of this.#input.changes) {
        if (e.type !== 'add') this.#touch(e.key, e.old);
        if (e.type !== 'delete') this.#touch(e.key, e.new);
      }
      for (const key of this.#touched) this.rebuild(key);
      this.#touched.clear();
    } else {
      this.#started = true;
      for (const key of this.of.peekKeys()) this.rebuild(key);
    }
    this.changes = this.settle();
  }

  override inputs(): readonly AnyStore[] {
    return [this.#input as unknown as AnyStore];
  }

  #touch(key: string, value: T): void {
    for (const k of this.of.keysOf(key, value)) this.#touched.add(k);
  }

  protected abstract rebuild(key: string): void;
}

class Grouped<T> extends PerKey<T, Group<T>> {
  readonly kind = 'group';

  constructor(graph: Graph, name: string, input: Store<T>, index: KeyedIndex<T>) {
    // A group is rebuilt only when an object of it changed, so no two versions of it are equal.
    super(graph, name, input, index, () => false);
  }

  protected override rebuild(key: string): void {
    const items = this.of.peek(key);
    if (items.length === 0) this.drop(key);
    else this.write(key, this.graph.assertions ? Object.freeze({ key, items }) : { key, items });
  }
}

class Counted<T> extends PerKey<T, Count> {
  readonly kind = 'count';

  constructor(graph: Graph, name: string, input: Store<T>, index: KeyedIndex<T>) {
    super(graph, name, input, index, (a, b) => a.count === b.count);
  }

  protected override rebuild(key: string): void {
    const n = this.of.count(key);
    if (n === 0) this.drop(key);
    else this.write(key, { key, count: n });
  }
}

class AnyOf<T> extends PerKey<T, T> {
  readonly kind = 'anyOf';

  protected override rebuild(key: string): void {
    const value = this.of.first(key);
    if (value === undefined) this.drop(key);
    else this.write(key, value);
  }
}
