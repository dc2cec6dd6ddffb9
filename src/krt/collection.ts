/** The public types of krt: what a collection is, what it emits, and what a transform may ask of it. */

/** One net change of one key over one flush. `old` and `new` are never equal under the collection's equality. */
export type Event<T> =
  | { readonly type: 'add'; readonly key: string; readonly new: T }
  | { readonly type: 'update'; readonly key: string; readonly old: T; readonly new: T }
  | { readonly type: 'delete'; readonly key: string; readonly old: T };

/** A set of objects, each under a unique string key. Objects are shared by reference: never mutate one. */
export interface Collection<T> {
  /** For errors, metrics and dumps. */
  readonly name: string;
  /** The object under `key`. Inside a transform use `ctx.fetchOne`, which records the read. */
  get(key: string): T | undefined;
  /** All objects, in undefined order: sort before the order can reach a proxy. The array is a snapshot that later changes leave alone. */
  list(): readonly T[];
  readonly size: number;
  /**
   * A secondary index. `keysOf` must be pure and read only what the collection's equality compares.
   * @throws when the name is taken by another function: two extractors under one name would alias silently.
   */
  index(name: string, keysOf: (t: T) => readonly string[]): Index<T>;
  /**
   * Calls `handler` after each flush that changed the collection, once, with the net change of every key. It may write Sources (another flush
   * follows). With `initial`, the first call, at the end of the next flush, carries all that exists then as adds (no call when that is nothing).
   */
  subscribe(handler: (events: readonly Event<T>[]) => void, o?: { readonly initial?: boolean }): Disposable;
}

/** A secondary index of a collection; kept current with every change. */
export interface Index<T> {
  readonly name: string;
  readonly collection: Collection<T>;
  /** The objects under `key`, in undefined order, as a snapshot. Inside a transform use `ctx.fetch(c, { index, is })`. */
  lookup(key: string): readonly T[];
  /** The keys that have at least one object. */
  keys(): Iterable<string>;
}

/** A collection that the outside world writes. */
export interface Source<T> extends Collection<T> {
  /**
   * Adds or replaces the object under its key. When it equals the stored one it is still stored, so that `get` returns the newest object,
   * but nobody hears of it.
   */
  set(t: T): void;
  delete(key: string): void;
  /** Makes the contents exactly `all`; keys that stay and are equal cause no event. */
  reset(all: Iterable<T>): void;
  /** The initial contents are complete. A graph does not flush before each of its first sources said so once. */
  markSynced(): void;
}

/**
 * Which objects a fetch is about. The more precise, the fewer recomputations: `keys` and `index` cost nothing when something else changes,
 * a bare `where` is tested against every change of the collection. `where` sees the old and the new object of a change, so an object that
 * leaves the filter counts too; it must be pure and read nothing but its argument and the transform's input.
 */
export type Fetch<T> =
  | { readonly keys: readonly string[] }
  | { readonly index: Index<T>; readonly is: string; readonly where?: (t: T) => boolean }
  | { readonly where: (t: T) => boolean };

/** What a transform reads through. Every read is recorded, and the input recomputed when its result may have changed. Valid only during the call. */
export interface Ctx {
  /** The object of `c` under `key`. */
  fetchOne<T>(c: Collection<T>, key: string): T | undefined;
  /** The objects of `c` that match `f` (all of them without `f`), in undefined order; keys that do not exist are left out. */
  fetch<T>(c: Collection<T>, f?: Fetch<T>): readonly T[];
  /** Discard what this run returns and keep the outputs of the last good one. */
  keepLast(): void;
}

/** Equality of two objects of a collection: true means nobody downstream needs to know. */
export type Equals<T> = (a: T, b: T) => boolean;

/** Counters of one collection. `transforms` counts runs since the start, `errors` those that threw. */
export interface CollectionStats {
  readonly name: string;
  readonly kind: string;
  readonly size: number;
  readonly transforms: number;
  readonly errors: number;
  /** Inputs that scan another collection with an un-indexed fetch: each of them is tested against each change there. */
  readonly scans: number;
}

/** One recorded read of one input. */
export type DependencyDump =
  | { readonly collection: string; readonly key: string }
  | { readonly collection: string; readonly index: string; readonly is: string; readonly where: boolean }
  | { readonly collection: string; readonly scan: true };

/** One collection as it stands: for /debug and for bug reports. */
export interface CollectionDump extends CollectionStats {
  readonly id: number;
  /** Collections that it is computed over. */
  readonly inputs: readonly string[];
  /** Collections that its transforms have fetched from. */
  readonly fetches: readonly string[];
  readonly indexes: readonly string[];
  /** Keys of its objects; the objects themselves with `values`. */
  readonly keys: readonly string[];
  readonly values?: Readonly<Record<string, unknown>>;
  /** Input key -> what came out of it and what it read. Only collections that run transforms have rows. */
  readonly rows: Readonly<Record<string, { readonly outputs: readonly string[]; readonly dependencies: readonly DependencyDump[] }>>;
}

/** All collections of a graph, in the order in which a flush visits them. */
export interface GraphDump {
  readonly sequence: number;
  readonly synced: boolean;
  readonly collections: readonly CollectionDump[];
}

/** What to put into a dump; everything but the objects when left out. */
export interface DumpOptions {
  /** Names of the collections to show. */
  readonly collections?: readonly string[];
  /** Also the objects. Off by default: they may hold secrets. */
  readonly values?: boolean;
}
