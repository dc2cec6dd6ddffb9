import type { Index } from './collection.ts';
import type { Store } from './store.ts';

const NOTHING: readonly never[] = [];

/** From this size on a bucket remembers where each key is; below, a scan is as fast and costs no memory. */
const LARGE = 32;

/**
 * The objects under one index key. Readers get the array itself, not a copy; the first change after that copies it (4,000 pointers: 2 µs),
 * so an array that somebody holds never changes.
 */
class Bucket<T> {
  items: T[] = [];
  #keys: string[] = [];
  #positions: Map<string, number> | undefined;
  #shared = false;

  share(): readonly T[] {
    this.#shared = true;
    return this.items;
  }

  set(key: string, value: T): void {
    this.#own();
    const at = this.#find(key);
    if (at >= 0) {
      this.items[at] = value;
      return;
    }
    this.items.push(value);
    this.#keys.push(key);
    if (this.#positions) this.#positions.set(key, this.#keys.length - 1);
    else if (this.#keys.length > LARGE) this.#positions = new Map(this.#keys.map((k, i) => [k, i]));
  }

  remove(key: string): void {
    const at = this.#find(key);
    if (at < 0) return;
    this.#own();
    const lastKey = this.#keys.pop();
    const last = this.items.pop();
    this.#positions?.delete(key);
    if (at === this.items.length || lastKey === undefined) return;
    this.#keys[at] = lastKey;
    this.items[at] = last as T;
    this.#positions?.set(lastKey, at);
  }

  #find(key: string): number {
    return this.#positions ? (this.#positions.get(key) ?? -1) : this.#keys.indexOf(key);
  }

  #own(): void {
    if (!this.#shared) return;
    this.items = this.items.slice();
    this.#shared = false;
  }
}

/** A secondary index: index key -> bucket. The store that it belongs to tells it of every change, at once. */
export class KeyedIndex<T> implements Index<T> {
  readonly name: string;
  readonly collection: Store<T>;
  /** As given by the creator: asking for the same index twice is fine. */
  readonly extractor: (t: T) => readonly string[];
  readonly #buckets = new Map<string, Bucket<T>>();

  constructor(name: string, collection: Store<T>, extractor: (t: T) => readonly string[]) {
    this.name = name;
    this.collection = collection;
    this.extractor = extractor;
  }

  lookup(key: string): readonly T[] {
    this.collection.assertReadable();
    return this.peek(key);
  }

  keys(): Iterable<string> {
    this.collection.assertReadable();
    return this.#buckets.keys();
  }

  /** `lookup` for the graph itself. */
  peek(key: string): readonly T[] {
    const bucket = this.#buckets.get(key);
    if (!bucket) return NOTHING;
    const items = bucket.share();
    return this.collection.graph.assertions ? Object.freeze(items) : items;
  }

  /** How many objects `peek` would return; nobody holds them afterwards. */
  count(key: string): number {
    return this.#buckets.get(key)?.items.length ?? 0;
  }

  /** One of the objects that `peek` would return: the same one until it goes. */
  first(key: string): T | undefined {
    return this.#buckets.get(key)?.items[0];
  }

  peekKeys(): Iterable<string> {
    return this.#buckets.keys();
  }

  /** The index keys of an object; none when the extractor throws, which is reported. */
  keysOf(key: string, value: T): readonly string[] {
    try {
      return this.extractor(value);
    } catch (error) {
      this.collection.graph.report(
        this.collection.name,
        key,
        new Error(`index ${this.name} has no keys for this object`, { cause: error }),
      );
      return NOTHING;
    }
  }

  update(key: string, old: T | undefined, value: T | undefined): void {
    const oldKeys = old === undefined ? NOTHING : this.keysOf(key, old);
    const newKeys = value === undefined ? NOTHING : this.keysOf(key, value);
    for (const k of oldKeys) if (!newKeys.includes(k)) this.#remove(k, key);
    if (value === undefined) return;
    for (const k of newKeys) {
      let bucket = this.#buckets.get(k);
      if (!bucket) this.#buckets.set(k, (bucket = new Bucket()));
      bucket.set(key, value);
    }
  }

  #remove(indexKey: string, key: string): void {
    const bucket = this.#buckets.get(indexKey);
    bucket?.remove(key);
    if (bucket?.items.length === 0) this.#buckets.delete(indexKey);
  }
}
