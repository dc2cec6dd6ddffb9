import type { Collection, Event } from './collection.ts';
import { KrtAssertionError } from './errors.ts';
import type { Graph } from './graph.ts';
import type { AnyStore } from './store.ts';
import { Store, storeOf } from './store.ts';

/**
 * The union of collections with disjoint keys. A key in two of them is a bug: it throws with assertions on; otherwise the later collection of the
 * list wins and the graph's `onError` is told. A key that moves from one to another within a flush is an update, or nothing when the objects are equal.
 */
export function join<T>(g: Graph, o: { readonly name: string }, collections: readonly Collection<T>[]): Collection<T> {
  return new Joined<T>(
    g,
    o.name,
    collections.map((c) => storeOf(g, c)),
  );
}

class Joined<T> extends Store<T> {
  readonly kind = 'join';
  readonly #inputs: readonly Store<T>[];
  #started = false;

  constructor(graph: Graph, name: string, inputs: readonly Store<T>[]) {
    super(graph, name);
    this.#inputs = inputs;
    for (const input of inputs) input.dependents.push(this as unknown as AnyStore);
    graph.markDirty(this as unknown as AnyStore);
  }

  override refresh(): void {
    if (this.#started) {
      for (const input of this.#inputs) for (const e of input.changes) this.#follow(e);
    } else {
      this.#started = true;
      for (const input of this.#inputs) for (const key of input.peekKeys()) this.write(key, this.#winner(key) as T);
    }
    this.changes = this.settle();
  }

  override inputs(): readonly AnyStore[] {
    return this.#inputs as readonly unknown[] as readonly AnyStore[];
  }

  #follow(e: Event<T>): void {
    const value = this.#winner(e.key);
    if (value === undefined) this.drop(e.key);
    // What its collection calls a change is one here too, whatever this collection would call equal.
    else if (e.type === 'update' && value === e.new) this.writeChanged(e.key, value);
    else this.write(e.key, value);
  }

  #winner(key: string): T | undefined {
    let winner: Store<T> | undefined;
    for (const input of this.#inputs) {
      if (input.peek(key) === undefined) continue;
      if (winner) this.#conflict(key, winner, input);
      winner = input;
    }
    return winner?.peek(key);
  }

  #conflict(key: string, loser: Store<T>, winner: Store<T>): void {
    const error = new KrtAssertionError(
      `${this.name}: key ${key} is in ${loser.name} and in ${winner.name}: joined collections need disjoint keys`,
    );
    if (this.graph.assertions) this.graph.fail(error);
    else this.graph.report(this.name, key, error);
  }
}
