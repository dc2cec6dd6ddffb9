import type { Collection, CollectionDump, Equals, Event, Index } from './collection.ts';
import { deepEqual } from './equality.ts';
import { KrtAssertionError } from './errors.ts';
import type { Graph } from './graph.ts';
import { KeyedIndex } from './keyed-index.ts';

const NO_EVENTS: readonly never[] = [];

interface Subscription<T> {
  readonly handler: (events: readonly Event<T>[]) => void;
  /** Number of the last flush that it does not hear of. */
  readonly since: number;
  disposed: boolean;
  /** Wants what exists as adds before anything else. */
  initial: boolean;
  /** What exists, taken before any handler of the flush ran: a handler may already write what belongs to the next one. */
  snapshot: readonly Event<T>[] | undefined;
}

/** A store of unknown contents: what the graph and the recorded dependencies work with. */
export type AnyStore = Store<unknown>;

/** What every kind of collection shares: the objects, their indexes, the changes since the last flush, and the subscribers. */
export abstract class Store<T> implements Collection<T> {
  readonly graph: Graph;
  readonly name: string;
  abstract readonly kind: string;
  /** Place in the flush order: a collection may only read lower ones. */
  readonly id: number;
  /** Something that it is computed from has changed. */
  dirty = false;
  /** The net changes of the flush that is running; empty at other times. */
  changes: readonly Event<T>[] = NO_EVENTS;
  /** Stores to mark dirty when this one changes. Only grows: collections live as long as their graph. */
  readonly dependents: AnyStore[] = [];
  readonly indexes: KeyedIndex<T>[] = [];
  transforms = 0;
  errors = 0;
  readonly #equals: Equals<T> | undefined;
  readonly #entries = new Map<string, T>();
  /** Changed keys -> value at the last flush, undefined for none. */
  readonly #net = new Map<string, T | undefined>();
  /** Some key changed more than once since the last flush, so it may be back where it was. */
  #retouched = false;
  #list: readonly T[] | undefined;
  #subscriptions: readonly Subscription<T>[] = [];

  constructor(graph: Graph, name: string, equals?: Equals<T>) {
    this.graph = graph;
    this.name = name;
    this.#equals = equals;
    this.id = graph.register(this as unknown as AnyStore);
  }

  get(key: string): T | undefined {
    this.assertReadable();
    return this.#entries.get(key);
  }

  list(): readonly T[] {
    this.assertReadable();
    return this.peekList();
  }

  get size(): number {
    return this.#entries.size;
  }

  index(name: string, keysOf: (t: T) => readonly string[]): Index<T> {
    const existing = this.indexes.find((i) => i.name === name);
    if (existing?.extractor === keysOf) return existing;
    if (existing)
      throw new Error(`krt: ${this.name} already has an index ${name} with another function: share that one or choose another name`);
    const index = new KeyedIndex<T>(name, this, keysOf);
    for (const [key, value] of this.#entries) index.update(key, undefined, value);
    this.indexes.push(index);
    return index;
  }

  subscribe(handler: (events: readonly Event<T>[]) => void, o: { readonly initial?: boolean } = {}): Disposable {
    const subscription: Subscription<T> = {
      handler,
      since: this.graph.sequence,
      disposed: false,
      initial: o.initial === true,
      snapshot: undefined,
    };
    this.#subscriptions = [...this.#subscriptions, subscription];
    if (subscription.initial) this.graph.awaitInitial(this as unknown as AnyStore);
    return {
      [Symbol.dispose]: () => {
        subscription.disposed = true;
        this.#subscriptions = this.#subscriptions.filter((s) => s !== subscription);
      },
    };
  }

  /** Brings the contents and `changes` up to date. Called by a flush when dirty, after everything with a lower id. */
  abstract refresh(): void;

  /** The collections it is computed over, those its transforms fetched from, and the state of its inputs: for dumps. */
  inputs(): readonly AnyStore[] {
    return [];
  }
  fetches(): readonly AnyStore[] {
    return [];
  }
  scans(): number {
    return 0;
  }
  rows(): CollectionDump['rows'] {
    return {};
  }

  /** Throws when a transform reads around its ctx: the read would not be recorded, and the output stale. */
  assertReadable(): void {
    const reader = this.graph.transforming;
    if (reader !== undefined && this.graph.assertions)
      throw new KrtAssertionError(`${reader} reads ${this.name} directly: read it through ctx, so that changes of it recompute ${reader}`);
  }

  peek(key: string): T | undefined {
    return this.#entries.get(key);
  }

  peekList(): readonly T[] {
    if (this.#list === undefined) {
      this.#list = [...this.#entries.values()];
      if (this.graph.assertions) Object.freeze(this.#list);
    }
    return this.#list;
  }

  peekKeys(): Iterable<string> {
    return this.#entries.keys();
  }

  endFlush(): void {
    this.changes = NO_EVENTS;
  }

  /** Prepares what subscribers with `initial` will get, before any handler runs. */
  takeInitial(): void {
    for (const s of this.#subscriptions)
      if (s.initial) {
        s.initial = false;
        s.snapshot = Array.from(this.#entries, ([key, value]) => ({ type: 'add', key, new: value }));
      }
  }

  /** Calls the subscribers; `failed` hears of those that throw. */
  deliver(failed: (error: unknown) => void): void {
    for (const s of this.#subscriptions) {
      const events = s.snapshot ?? (s.initial || s.since === this.graph.sequence ? NO_EVENTS : this.changes);
      s.snapshot = undefined;
      if (events.length === 0 || s.disposed) continue;
      try {
        s.handler(events);
      } catch (error) {
        failed(error);
      }
    }
  }

  /** Stores `value`. When it equals the stored object nothing happens, or, with `replaceEqual`, it takes its place silently. True when changed. */
  protected write(key: string, value: T, replaceEqual = false): boolean {
    const old = this.#entries.get(key);
    if (old !== undefined && this.same(key, old, value)) {
      if (replaceEqual && old !== value) this.#store(key, old, value);
      return false;
    }
    this.writeChanged(key, value);
    return true;
  }

  /** Stores `value` without asking whether it is equal. */
  protected writeChanged(key: string, value: T): void {
    const old = this.#entries.get(key);
    this.#touch(key, old);
    this.#store(key, old, value);
  }

  protected drop(key: string): boolean {
    const old = this.#entries.get(key);
    if (old === undefined) return false;
    this.#touch(key, old);
    this.#entries.delete(key);
    this.#list = undefined;
    for (const index of this.indexes) index.update(key, old, undefined);
    return true;
  }

  /** The net changes since the last call. */
  protected settle(): readonly Event<T>[] {
    if (this.#net.size === 0) return NO_EVENTS;
    const events: Event<T>[] = [];
    for (const [key, old] of this.#net) {
      const value = this.#entries.get(key);
      if (value === undefined) {
        if (old !== undefined) events.push({ type: 'delete', key, old });
      } else if (old === undefined) events.push({ type: 'add', key, new: value });
      else if (!this.#retouched || !this.same(key, old, value)) events.push({ type: 'update', key, old, new: value });
    }
    this.#net.clear();
    this.#retouched = false;
    return events;
  }

  protected same(key: string, a: T, b: T): boolean {
    if (this.#equals === undefined) return deepEqual(a, b);
    try {
      return this.#equals(a, b);
    } catch (error) {
      this.graph.report(this.name, key, error);
      return false;
    }
  }

  #touch(key: string, old: T | undefined): void {
    if (this.#net.has(key)) this.#retouched = true;
    else this.#net.set(key, old);
  }

  #store(key: string, old: T | undefined, value: T): void {
    this.#entries.set(key, value);
    this.#list = undefined;
    for (const index of this.indexes) index.update(key, old, value);
  }
}

/** The store behind a collection. @throws when it is of another graph or not made by krt. */
export function storeOf<T>(graph: Graph, c: Collection<T>): Store<T> {
  if (!(c instanceof Store)) throw new TypeError(`krt: ${c.name} is not a collection of krt`);
  if (c.graph !== graph) throw new TypeError(`krt: ${c.name} belongs to another graph`);
  return c as Store<T>;
}
