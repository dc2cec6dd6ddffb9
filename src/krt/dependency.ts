import type { Collection, Ctx, DependencyDump, Fetch } from './collection.ts';
import { KrtAssertionError } from './errors.ts';
import type { KeyedIndex } from './keyed-index.ts';
import type { AnyStore, Store } from './store.ts';
import { storeOf } from './store.ts';

/**
 * What inputs have read, and who must run again when a collection changes:
 *
 *   Row (one input) ──deps──> Dependency ──in──> Watch (one fetched collection): by key │ by index key │ scans
 *   change of the fetched collection ──Watch──> the rows to run
 */

/** One recorded read. With `index`: `key` is the index key; without both: a scan. */
export interface Dependency {
  readonly row: Row;
  readonly watch: Watch;
  readonly index: KeyedIndex<unknown> | undefined;
  readonly key: string | undefined;
  /** Replaced on each run: it closes over the input of the run. */
  where: ((t: unknown) => boolean) | undefined;
}

/** One input of a collection that runs transforms. */
export interface Row {
  readonly key: string;
  /** Waits to run in the flush at hand. */
  queued: boolean;
  deps: readonly Dependency[];
}

/** Of a row that has not run, and of one that reads nothing. */
export const NO_DEPS: readonly Dependency[] = [];

/** Marks a row to run, once. */
export function enqueue<R extends Row>(row: R, todo: R[]): void {
  if (row.queued) return;
  row.queued = true;
  todo.push(row);
}

/** Dependencies under one key: most keys have one reader, so it is kept without a Set. */
type Readers = Map<string, Dependency | Set<Dependency>>;

/** The reads of one collection by the transforms of another. */
interface Watch {
  readonly store: AnyStore;
  readonly byKey: Readers;
  readonly byIndex: { readonly index: KeyedIndex<unknown>; readonly readers: Readers }[];
  readonly scans: Set<Dependency>;
}

/** Records what each row reads, and finds the rows that a change concerns. One for each collection that runs transforms. */
export class Tracker implements Ctx {
  readonly #owner: AnyStore;
  readonly #watches: Watch[] = [];
  readonly #fresh: Dependency[] = [];
  #row: Row | undefined;
  /** How many of the row's dependencies this run has repeated so far; most runs repeat all of them and record nothing. */
  #repeated = 0;
  #diverged = false;
  #muted = false;
  #kept = false;

  constructor(owner: AnyStore) {
    this.#owner = owner;
  }

  /** The run called `keepLast`. */
  get kept(): boolean {
    return this.#kept;
  }

  get stores(): readonly AnyStore[] {
    return this.#watches.map((w) => w.store);
  }

  get scans(): number {
    return this.#watches.reduce((sum, w) => sum + w.scans.size, 0);
  }

  /** A transform is about to run over `row`. A muted run records nothing. */
  begin(row: Row, muted = false): void {
    this.#row = row;
    this.#repeated = 0;
    this.#diverged = false;
    this.#muted = muted;
    this.#kept = false;
    this.#owner.graph.transforming = this.#owner.name;
  }

  /** The transform returned or threw: what it read until then is what the row depends on. */
  end(): void {
    this.#owner.graph.transforming = undefined;
    const row = this.#row;
    this.#row = undefined;
    if (row === undefined || this.#muted) return;
    if (!this.#diverged && this.#repeated === row.deps.length) return;
    for (let i = this.#repeated; i < row.deps.length; i++) unregister(row.deps[i] as Dependency);
    for (const dep of this.#fresh) register(dep);
    const deps = [...row.deps.slice(0, this.#repeated), ...this.#fresh];
    row.deps = deps.length > 0 ? deps : NO_DEPS;
    this.#fresh.length = 0;
  }

  /** The input is gone. */
  forget(row: Row): void {
    for (const dep of row.deps) unregister(dep);
    row.deps = NO_DEPS;
  }

  /** Queues the rows that have read what changed in this flush. */
  collect(todo: Row[]): void {
    for (const watch of this.#watches)
      for (const e of watch.store.changes) {
        if (watch.byKey.size > 0) queueAll(watch.byKey.get(e.key), todo);
        if (e.type !== 'add') queueReaders(watch, e.key, e.old, todo);
        if (e.type !== 'delete') queueReaders(watch, e.key, e.new, todo);
      }
  }

  fetchOne<T>(c: Collection<T>, key: string): T | undefined {
    const store = this.#open(c);
    this.#record(store, undefined, key, undefined);
    return store.peek(key);
  }

  fetch<T>(c: Collection<T>, f?: Fetch<T>): readonly T[] {
    const store = this.#open(c);
    if (f === undefined) {
      this.#record(store, undefined, undefined, undefined);
      return store.peekList();
    }
    if ('keys' in f) {
      const found: T[] = [];
      for (const key of f.keys) {
        this.#record(store, undefined, key, undefined);
        const value = store.peek(key);
        if (value !== undefined) found.push(value);
      }
      return found;
    }
    if ('index' in f) {
      if (f.index.collection !== c)
        throw new KrtAssertionError(`${this.#owner.name} fetches ${c.name} by an index of ${f.index.collection.name}`);
      const index = f.index as KeyedIndex<T>;
      this.#record(store, index, f.is, f.where);
      return f.where ? index.peek(f.is).filter(f.where) : index.peek(f.is);
    }
    this.#record(store, undefined, undefined, f.where);
    return store.peekList().filter(f.where);
  }

  keepLast(): void {
    this.#kept = true;
  }

  #open<T>(c: Collection<T>): Store<T> {
    if (this.#row === undefined) throw new KrtAssertionError(`${this.#owner.name} reads ${c.name} after its transform returned`);
    const store = storeOf(this.#owner.graph, c);
    if (store.id >= this.#owner.id)
      throw new KrtAssertionError(
        `${this.#owner.name} reads ${store.name}, which is created ${store.id === this.#owner.id ? 'by this very call' : 'later'}: create ${store.name} before ${this.#owner.name}`,
      );
    return store;
  }

  #record<T>(of: Store<T>, by: KeyedIndex<T> | undefined, key: string | undefined, where: ((t: T) => boolean) | undefined): void {
    const row = this.#row;
    if (row === undefined || this.#muted) return;
    // Erased here, once: a dependency is only ever tested against objects of the collection that it was recorded on.
    const store = of as unknown as AnyStore;
    const index = by as unknown as KeyedIndex<unknown> | undefined;
    const test = where as ((t: unknown) => boolean) | undefined;
    if (!this.#diverged) {
      const dep = row.deps[this.#repeated];
      if (dep !== undefined && dep.watch.store === store && dep.index === index && dep.key === key) {
        dep.where = test;
        this.#repeated++;
        return;
      }
      this.#diverged = true;
    }
    this.#fresh.push({ row, watch: this.#watch(store), index, key, where: test });
  }

  #watch(store: AnyStore): Watch {
    const existing = this.#watches.find((w) => w.store === store);
    if (existing) return existing;
    const watch: Watch = { store, byKey: new Map(), byIndex: [], scans: new Set() };
    this.#watches.push(watch);
    if (!store.dependents.includes(this.#owner)) store.dependents.push(this.#owner);
    return watch;
  }
}

/** A dependency for a dump. */
export function describeDependency(d: Dependency): DependencyDump {
  const collection = d.watch.store.name;
  if (d.key === undefined) return { collection, scan: true };
  return d.index ? { collection, index: d.index.name, is: d.key, where: d.where !== undefined } : { collection, key: d.key };
}

function queueAll(readers: Dependency | Set<Dependency> | undefined, todo: Row[]): void {
  if (readers === undefined) return;
  if (readers instanceof Set) for (const dep of readers) enqueue(dep.row, todo);
  else enqueue(readers.row, todo);
}

/** Queues the rows whose index key and predicate match the object. */
function queueReaders(watch: Watch, key: string, value: unknown, todo: Row[]): void {
  for (const { index, readers } of watch.byIndex) {
    if (readers.size === 0) continue;
    for (const k of index.keysOf(key, value)) {
      const found = readers.get(k);
      if (found instanceof Set) for (const dep of found) queueMatching(dep, value, todo);
      else if (found !== undefined) queueMatching(found, value, todo);
    }
  }
  for (const dep of watch.scans) queueMatching(dep, value, todo);
}

function queueMatching(dep: Dependency, value: unknown, todo: Row[]): void {
  if (!dep.row.queued && matches(dep, value)) enqueue(dep.row, todo);
}

function matches(dep: Dependency, value: unknown): boolean {
  if (dep.where === undefined) return true;
  try {
    return dep.where(value);
  } catch {
    return true; // The transform runs into the same error, and that is reported.
  }
}

function register(dep: Dependency): void {
  if (dep.key === undefined) {
    dep.watch.scans.add(dep);
    return;
  }
  const readers = readersOf(dep);
  const found = readers.get(dep.key);
  if (found === undefined) readers.set(dep.key, dep);
  else if (found instanceof Set) found.add(dep);
  else readers.set(dep.key, new Set([found, dep]));
}

function unregister(dep: Dependency): void {
  if (dep.key === undefined) {
    dep.watch.scans.delete(dep);
    return;
  }
  const readers = readersOf(dep);
  const found = readers.get(dep.key);
  if (found === dep) readers.delete(dep.key);
  else if (found instanceof Set && found.delete(dep) && found.size === 0) readers.delete(dep.key);
}

function readersOf({ watch, index }: Dependency): Readers {
  if (index === undefined) return watch.byKey;
  let entry = watch.byIndex.find((e) => e.index === index);
  if (entry === undefined) watch.byIndex.push((entry = { index, readers: new Map() }));
  return entry.readers;
}
