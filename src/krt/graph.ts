import type { CollectionStats, DumpOptions, GraphDump } from './collection.ts';
import { dumpGraph, mermaidOf, statsOf } from './debug.ts';
import { KrtAssertionError } from './errors.ts';
import type { AnyStore } from './store.ts';

/** How a graph runs. */
export interface GraphOptions {
  /** Called once when there is something to flush. Default: after the I/O events of this turn of the event loop, so that they coalesce. */
  readonly schedule?: (flush: () => void) => void;
  /** Hears of transforms and handlers that throw and of duplicate keys. Default: a process warning. */
  readonly onError?: (collection: string, key: string, error: unknown) => void;
  /** Check the rules of krt and freeze what collections hold. Default: when NODE_ENV is `test`. */
  readonly assertions?: boolean;
  /** Run each transform twice and compare: finds clocks, randomness and state outside the collections. Default: off. */
  readonly verifyPurity?: boolean;
}

/** A set of collections that settle together. Creation order is a topological order, so a flush is one ascending pass over what is dirty. */
export class Graph {
  readonly assertions: boolean;
  readonly verifyPurity: boolean;
  /** Name of the collection whose transform is running. */
  transforming: string | undefined;
  readonly #schedule: (flush: () => void) => void;
  readonly #onError: ((collection: string, key: string, error: unknown) => void) | undefined;
  readonly #stores: AnyStore[] = [];
  readonly #flush = (): void => {
    this.#scheduled = false;
    this.flush();
  };
  #phase: 'idle' | 'compute' | 'deliver' = 'idle';
  #sequence = 0;
  #unsynced = 0;
  #sources = 0;
  #synced = false;
  /** The scheduler owes us a call. */
  #scheduled = false;
  /** A flush was asked for by a subscriber. */
  #again = false;
  #dirty = false;
  #awaitingInitial: AnyStore[] = [];
  #whenSynced: (() => void)[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(o: GraphOptions = {}) {
    this.#schedule = o.schedule ?? ((flush) => void setImmediate(flush));
    this.#onError = o.onError;
    this.assertions = o.assertions ?? process.env['NODE_ENV'] === 'test';
    this.verifyPurity = o.verifyPurity ?? false;
  }

  /** Number of flushes that had something to do. */
  get sequence(): number {
    return this.#sequence;
  }

  /** All sources that exist from the start have their initial contents, and everything that follows from them is computed. */
  get synced(): boolean {
    return this.#synced;
  }

  /** There is something to flush. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Resolves when `synced` becomes true. */
  whenSynced(): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve) => this.#whenSynced.push(resolve));
  }

  /**
   * Settles everything, then calls the subscribers in creation order. Does nothing before the first sources are synced. What subscribers write
   * waits for the next flush, which is scheduled.
   * @throws KrtAssertionError with assertions on; what a subscriber threw, when no `onError` was given.
   */
  flush(): void {
    if (this.#phase === 'compute') throw new KrtAssertionError('flush() inside a transform');
    if (this.#phase === 'deliver') this.#again = true;
    if (this.#phase === 'deliver' || !this.#ready()) return;
    const changed: AnyStore[] = [];
    try {
      if (this.#dirty) {
        this.#dirty = false;
        this.#sequence++;
        this.#phase = 'compute';
        this.#compute(changed);
      }
      this.#phase = 'deliver';
      this.#deliver(changed);
    } finally {
      for (const store of changed) store.endFlush();
      this.#phase = 'idle';
      this.transforming = undefined;
    }
    if (!this.#synced && this.#sources > 0) {
      this.#synced = true;
      for (const resolve of this.#whenSynced.splice(0)) resolve();
    }
    if (this.#again) {
      this.#again = false;
      this.#request();
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure.error;
  }

  /** Every collection with its size, inputs and recorded dependencies. Large: with 10,000 inputs, ask for the collections you need. */
  dump(o: DumpOptions = {}): GraphDump {
    return dumpGraph(this, this.#stores, o);
  }

  /** The collections as a Mermaid flowchart: solid lines are inputs, dotted ones fetches. */
  mermaid(): string {
    return mermaidOf(this.#stores);
  }

  stats(): readonly CollectionStats[] {
    return this.#stores.map(statsOf);
  }

  /** @internal Gives a new collection its place. */
  register(store: AnyStore): number {
    if (this.#phase === 'compute')
      throw new KrtAssertionError(`${store.name} is created inside a transform: create collections when wiring`);
    if (this.assertions && this.#stores.some((s) => s.name === store.name))
      throw new KrtAssertionError(`there are two collections named ${store.name}: errors, metrics and dumps would mix them up`);
    return this.#stores.push(store) - 1;
  }

  /** @internal A source that does not have its initial contents yet. It holds up flushes only when the graph has not settled once. */
  addSource(): void {
    this.#sources++;
    this.#unsynced++;
  }

  /** @internal */
  sourceSynced(): void {
    this.#unsynced--;
    this.#request();
  }

  /** @internal Throws when a transform writes. */
  assertWritable(name: string): void {
    if (this.#phase === 'compute') throw new KrtAssertionError(`${this.transforming ?? 'a callback'} writes ${name}: transforms are pure`);
  }

  /** @internal The contents of the store must be looked at in the next flush. */
  markDirty(store: AnyStore): void {
    store.dirty = true;
    this.#dirty = true;
    this.#request();
  }

  /** @internal A subscriber of the store waits for its initial contents. */
  awaitInitial(store: AnyStore): void {
    this.#awaitingInitial.push(store);
    this.#request();
  }

  /** @internal Tells the operator; never throws. */
  report(collection: string, key: string, error: unknown): void {
    try {
      if (this.#onError) this.#onError(collection, key, error);
      else process.emitWarning(`krt: ${collection}: ${key}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    } catch (second) {
      this.fail(second);
    }
  }

  /** @internal The running flush goes on, so that the state stays consistent, and throws `error` at its end. The first one wins. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  #compute(changed: AnyStore[]): void {
    for (const store of this.#stores) {
      if (!store.dirty) continue;
      store.dirty = false;
      store.refresh();
      if (store.changes.length === 0) continue;
      changed.push(store);
      for (const dependent of store.dependents) dependent.dirty = true;
    }
  }

  #deliver(changed: readonly AnyStore[]): void {
    const fresh = this.#awaitingInitial;
    if (fresh.length > 0) {
      this.#awaitingInitial = [];
      for (const store of fresh) store.takeInitial();
    }
    const stores = fresh.length > 0 ? [...new Set([...fresh, ...changed])].sort((a, b) => a.id - b.id) : changed;
    for (const store of stores)
      store.deliver((error) => {
        if (this.#onError) this.report(store.name, '', error);
        else this.fail(error);
      });
  }

  #ready(): boolean {
    return this.#synced || this.#unsynced === 0;
  }

  #request(): void {
    if (this.#scheduled || !this.#ready()) return;
    this.#scheduled = true;
    this.#schedule(this.#flush);
  }
}
