import type { Equals, Source } from './collection.ts';
import { deepFreeze } from './equality.ts';
import type { Graph } from './graph.ts';
import type { AnyStore } from './store.ts';
import { Store } from './store.ts';

/** Options of a source. `equals` defaults to structural equality; objects of the API server compare uid and resourceVersion. */
export interface SourceOptions<T> {
  readonly name: string;
  readonly key: (t: T) => string;
  readonly equals?: Equals<T>;
}

/**
 * A collection that the outside world writes. It holds the graph until `markSynced`, unless the graph has already settled once: a source that
 * comes late (a CRD installed later) starts empty and just adds.
 */
export function source<T>(g: Graph, o: SourceOptions<T>): Source<T> {
  return new SourceStore(g, o);
}

class SourceStore<T> extends Store<T> implements Source<T> {
  readonly kind = 'source';
  readonly #key: (t: T) => string;
  #synced = false;

  constructor(graph: Graph, o: SourceOptions<T>) {
    super(graph, o.name, o.equals);
    this.#key = o.key;
    graph.addSource();
  }

  set(t: T): void {
    const key = this.#key(t);
    if (typeof key !== 'string') throw new TypeError(`krt: ${this.name}: the key of an object is ${String(key)}, not a string`);
    if (this.graph.assertions) deepFreeze(t);
    this.graph.assertWritable(this.name);
    if (this.write(key, t, true)) this.#changed();
  }

  delete(key: string): void {
    this.graph.assertWritable(this.name);
    if (this.drop(key)) this.#changed();
  }

  reset(all: Iterable<T>): void {
    const objects = [...all];
    const keep = new Set(objects.map(this.#key));
    const gone = [...this.peekKeys()].filter((key) => !keep.has(key));
    for (const key of gone) this.delete(key);
    for (const object of objects) this.set(object);
  }

  markSynced(): void {
    if (this.#synced) return;
    this.#synced = true;
    this.graph.sourceSynced();
  }

  override refresh(): void {
    this.changes = this.settle();
  }

  #changed(): void {
    if (!this.dirty) this.graph.markDirty(this as unknown as AnyStore);
  }
}
