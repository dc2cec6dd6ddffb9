import type { Collection, CollectionDump, Ctx, Equals } from './collection.ts';
import type { Row } from './dependency.ts';
import { describeDependency, enqueue, NO_DEPS, Tracker } from './dependency.ts';
import { deepEqual, deepFreeze } from './equality.ts';
import { KrtAssertionError } from './errors.ts';
import type { Graph } from './graph.ts';
import type { AnyStore } from './store.ts';
import { Store, storeOf } from './store.ts';

/** Options of `map`. `key` defaults to the key of the input, which is cheaper: outputs of different inputs cannot collide. */
export interface MapOptions<O> {
  readonly name: string;
  readonly key?: (o: O) => string;
  readonly equals?: Equals<O>;
}

/** Options of `flatMap`. Keys must be unique over the outputs of all inputs. */
export interface FlatMapOptions<O> {
  readonly name: string;
  readonly key: (o: O) => string;
  readonly equals?: Equals<O>;
}

/**
 * One object at most for each object of `input`. `fn` must be pure: it runs again when its input, or anything it fetched through `ctx`, changed.
 * When it throws, the last good output stays and the graph's `onError` is told.
 */
export function map<I, O>(
  g: Graph,
  input: Collection<I>,
  o: MapOptions<O>,
  fn: (ctx: Ctx, i: I, key: string) => O | undefined,
): Collection<O> {
  return new Derived<I, O>(g, 'map', storeOf(g, input), o, (ctx, i, key) => {
    const output = fn(ctx, i, key);
    return output === undefined ? NOTHING : [output];
  });
}

/** Any number of objects for each object of `input`; otherwise like `map`. An output key may move from one input to another within a flush. */
export function flatMap<I, O>(
  g: Graph,
  input: Collection<I>,
  o: FlatMapOptions<O>,
  fn: (ctx: Ctx, i: I, key: string) => readonly O[],
): Collection<O> {
  return new Derived<I, O>(g, 'flatMap', storeOf(g, input), o, fn);
}

const NOTHING: readonly never[] = [];

/** Above this size, look up output keys in a Set. */
const MANY = 16;

/** What a transform runs over: a collection, or the one dummy object of a singleton. */
export type Upstream<I> = Pick<Store<I>, 'changes' | 'dependents' | 'peek' | 'peekKeys'>;

interface DerivedRow<O> extends Row {
  /** Keys of what came out of the last good run. */
  outputs: readonly string[];
  /** What came out of the run of this flush, until it is applied. */
  next: readonly O[] | undefined;
  nextKeys: readonly string[];
}

/**
 * A collection computed by a transform. A flush runs the rows that a change concerns, then takes away the outputs that vanished, then writes the
 * new ones: so a key that moves between inputs is an update and not a conflict.
 */
export class Derived<I, O> extends Store<O> {
  readonly kind: string;
  readonly #input: Upstream<I>;
  readonly #key: ((o: O) => string) | undefined;
  readonly #run: (ctx: Ctx, i: I, key: string) => readonly O[];
  readonly #tracker: Tracker;
  readonly #rows = new Map<string, DerivedRow<O>>();
  /** Output key -> the row whose value is stored. Not kept when output keys are input keys. */
  readonly #owner = new Map<string, DerivedRow<O>>();
  /** Output key -> rows that also produce it and lost; empty unless transforms are wrong. */
  readonly #losers = new Map<string, DerivedRow<O>[]>();
  readonly #released: string[] = [];
  #todo: DerivedRow<O>[] = [];
  #started = false;

  constructor(graph: Graph, kind: string, input: Upstream<I>, o: MapOptions<O>, run: (ctx: Ctx, i: I, key: string) => readonly O[]) {
    super(graph, o.name, o.equals);
    this.kind = kind;
    this.#input = input;
    this.#key = o.key;
    this.#run = run;
    this.#tracker = new Tracker(this as unknown as AnyStore);
    input.dependents.push(this as unknown as AnyStore);
    graph.markDirty(this as unknown as AnyStore);
  }

  override refresh(): void {
    if (this.#started) {
      for (const e of this.#input.changes) enqueue(this.#rowOf(e.key), this.#todo);
      this.#tracker.collect(this.#todo);
    } else {
      this.#started = true;
      for (const key of this.#input.peekKeys()) enqueue(this.#rowOf(key), this.#todo);
    }
    while (this.#todo.length > 0) this.#round();
    this.changes = this.settle();
  }

  override inputs(): readonly AnyStore[] {
    return this.#input instanceof Store ? [this.#input] : NOTHING;
  }

  override fetches(): readonly AnyStore[] {
    return this.#tracker.stores;
  }

  override scans(): number {
    return this.#tracker.scans;
  }

  override rows(): CollectionDump['rows'] {
    const rows: Record<string, CollectionDump['rows'][string]> = {};
    for (const [key, row] of this.#rows) rows[key] = { outputs: row.outputs, dependencies: row.deps.map(describeDependency) };
    return rows;
  }

  #rowOf(key: string): DerivedRow<O> {
    let row = this.#rows.get(key);
    if (!row) this.#rows.set(key, (row = { key, queued: false, deps: NO_DEPS, outputs: NOTHING, next: undefined, nextKeys: NOTHING }));
    return row;
  }

  #round(): void {
    const rows = this.#todo;
    this.#todo = [];
    for (const row of rows) this.#compute(row);
    for (const row of rows) if (row.next) this.#release(row);
    for (const row of rows) if (row.next) this.#claim(row, row.next);
    for (const row of rows) row.queued = false;
    for (const key of this.#released) this.#dropUnlessClaimed(key);
    this.#released.length = 0;
    rows.length = 0;
    if (this.#todo.length === 0) this.#todo = rows; // The array is used again.
  }

  #compute(row: DerivedRow<O>): void {
    const input = this.#input.peek(row.key);
    if (input === undefined) {
      this.#tracker.forget(row);
      this.#rows.delete(row.key);
      row.next = NOTHING;
      row.nextKeys = NOTHING;
      return;
    }
    this.transforms++;
    let failure: { readonly error: unknown } | undefined;
    this.#tracker.begin(row);
    try {
      const outputs = this.#run(this.#tracker, input, row.key);
      if (!this.#tracker.kept) this.#propose(row, outputs);
    } catch (error) {
      row.next = undefined;
      failure = { error };
    } finally {
      this.#tracker.end();
    }
    if (failure) this.#failed(row, failure.error);
    else if (this.graph.verifyPurity && row.next) this.#verify(row, input, row.next);
  }

  #failed(row: DerivedRow<O>, error: unknown): void {
    this.errors++;
    if (this.graph.assertions && error instanceof KrtAssertionError) this.graph.fail(error);
    else this.graph.report(this.name, row.key, error);
  }

  /** Notes what a run returned. In the usual case, the same keys as before, nothing is kept but the objects. */
  #propose(row: DerivedRow<O>, outputs: readonly O[]): void {
    row.next = outputs;
    const keyOf = this.#key;
    if (keyOf === undefined) {
      row.nextKeys = outputs.length === 0 ? NOTHING : row.outputs.length === 1 ? row.outputs : [row.key];
      return;
    }
    const keys = outputs.map((o) => {
      const key = keyOf(o);
      if (typeof key !== 'string') throw new TypeError(`krt: ${this.name}: the key of an output is ${String(key)}, not a string`);
      return key;
    });
    row.nextKeys = sameKeys(keys, row.outputs) ? row.outputs : keys;
    if (row.nextKeys !== keys || new Set(keys).size === keys.length) return;
    const last = new Map(outputs.map((o, i) => [keys[i] as string, o]));
    const twice = keys.find((k, i) => keys.indexOf(k) !== i) ?? '';
    this.#conflict(twice, row.key, row.key);
    row.nextKeys = [...last.keys()];
    row.next = [...last.values()];
  }

  #release(row: DerivedRow<O>): void {
    if (row.nextKeys === row.outputs) return;
    const kept = row.nextKeys.length > MANY ? new Set(row.nextKeys) : undefined;
    for (const key of row.outputs) {
      if (kept ? kept.has(key) : row.nextKeys.includes(key)) continue;
      if (this.#key === undefined) this.#released.push(key);
      else if (this.#owner.get(key) === row) {
        this.#owner.delete(key);
        this.#released.push(key);
      } else this.#withdraw(key, row);
    }
  }

  #claim(row: DerivedRow<O>, next: readonly O[]): void {
    const owned = this.#key !== undefined;
    for (let i = 0; i < next.length; i++) {
      const key = row.nextKeys[i] as string;
      if (owned) {
        const holder = this.#owner.get(key);
        if (holder !== row) {
          if (holder !== undefined) this.#lose(key, holder, row);
          this.#owner.set(key, row);
        }
      }
      const value = next[i] as O;
      if (this.graph.assertions) deepFreeze(value);
      this.write(key, value);
    }
    row.outputs = row.nextKeys;
    row.next = undefined;
  }

  #dropUnlessClaimed(key: string): void {
    if (this.#owner.has(key)) return;
    const heir = this.#losers.get(key)?.at(-1);
    if (heir === undefined) {
      this.drop(key);
      return;
    }
    // The key is free for a row that also produces it: let it write its value.
    this.#withdraw(key, heir);
    this.#owner.set(key, heir);
    enqueue(heir, this.#todo);
  }

  #lose(key: string, loser: DerivedRow<O>, winner: DerivedRow<O>): void {
    this.#withdraw(key, winner);
    const losers = this.#losers.get(key);
    if (losers) losers.push(loser);
    else this.#losers.set(key, [loser]);
    this.#conflict(key, loser.key, winner.key);
  }

  #withdraw(key: string, row: DerivedRow<O>): void {
    const losers = this.#losers.get(key)?.filter((r) => r !== row);
    if (losers === undefined) return;
    if (losers.length > 0) this.#losers.set(key, losers);
    else this.#losers.delete(key);
  }

  #conflict(key: string, loser: string, winner: string): void {
    const error = new KrtAssertionError(
      `${this.name}: output key ${key} comes from input ${loser} and from input ${winner}: make the keys distinct and resolve the conflict in a group`,
    );
    if (this.graph.assertions) this.graph.fail(error);
    else this.graph.report(this.name, key, error);
  }

  #verify(row: DerivedRow<O>, input: I, first: readonly O[]): void {
    this.#tracker.begin(row, true);
    try {
      if (deepEqual(first, this.#run(this.#tracker, input, row.key))) return;
    } catch {
      // Throwing the second time only is impure as well.
    } finally {
      this.#tracker.end();
    }
    this.graph.fail(
      new KrtAssertionError(`${this.name}: two runs over input ${row.key} differ: transforms are pure functions of what they fetch`),
    );
  }
}

function sameKeys(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
