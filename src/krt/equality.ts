/** Equality and freezing of the plain data that collections hold. */

/**
 * Structural equality of plain objects, arrays, byte arrays, Maps and Sets. Other class instances are equal by reference or by their own
 * `equals` method: their private state cannot be seen, and a needless event is better than a lost one. A property that is `undefined` differs
 * from one that is absent.
 */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a !== a && b !== b; // NaN equals NaN
  if (Array.isArray(a)) return Array.isArray(b) && equalArrays(a, b);
  if (isPlain(a)) return isPlain(b) && equalProperties(a as Properties, b as Properties);
  return Object.getPrototypeOf(a) === Object.getPrototypeOf(b) && equalInstances(a, b);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

type Properties = Record<string, unknown>;

function equalArrays(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!deepEqual(a[i], b[i])) return false;
  return true;
}

function equalProperties(a: Properties, b: Properties): boolean {
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const k of keys) {
    const value = b[k];
    if (value === undefined && !Object.hasOwn(b, k)) return false;
    if (!deepEqual(a[k], value)) return false;
  }
  return true;
}

function equalInstances(a: object, b: object): boolean {
  if (ArrayBuffer.isView(a) && ArrayBuffer.isView(b)) return equalBytes(a, b);
  if (a instanceof Map && b instanceof Map) {
    if (a.size !== b.size) return false;
    for (const [k, v] of a) if (!b.has(k) || !deepEqual(v, b.get(k))) return false;
    return true;
  }
  if (a instanceof Set && b instanceof Set) {
    if (a.size !== b.size) return false;
    for (const v of a) if (!b.has(v)) return false;
    return true;
  }
  if ('equals' in a && typeof a.equals === 'function') return a.equals(b) === true;
  return false;
}

function equalBytes(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (a.byteLength !== b.byteLength) return false;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// Not Object.isFrozen: an object that its maker froze may still hold mutable children.
const frozen = new WeakSet<object>();

/** Freezes plain objects and arrays all the way down. Class instances, byte arrays, Maps and Sets are left alone. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || frozen.has(value)) return value;
  if (!Array.isArray(value) && !isPlain(value)) return value;
  frozen.add(value);
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
}
