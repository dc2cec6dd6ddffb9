// [message] -> [message with sorted maps]: protobufjs writes map entries in insertion order, and our versions are hashes of bytes.
import protobuf from 'protobufjs/light.js';
import type { Type } from 'protobufjs/light.js';

type Fields = Readonly<Record<string, unknown>>;

/** One field that is a map or leads to one. */
interface Step {
  readonly name: string;
  readonly map: boolean;
  readonly repeated: boolean;
  /** Message type of the values if there may be maps below. */
  readonly below: Type | undefined;
}

const plans = new Map<Type, readonly Step[]>();
const leads = new Map<Type, boolean>();

/** Whether a message of the type can hold a map, at any depth. */
function leadsToMap(type: Type): boolean {
  const known = leads.get(type);
  if (known !== undefined) return known;
  // A search of its own for each type: with recursive types a shared depth-first search would remember wrong negatives.
  const found = search(type, new Set([type]));
  leads.set(type, found);
  return found;
}

function search(type: Type, seen: Set<Type>): boolean {
  return type.fieldsArray.some((field) => {
    if (field.map) return true;
    const child = field.resolve().resolvedType;
    if (!(child instanceof protobuf.Type) || seen.has(child)) return false;
    seen.add(child);
    return search(child, seen);
  });
}

function planOf(type: Type): readonly Step[] {
  let plan = plans.get(type);
  if (plan === undefined) {
    plan = type.fieldsArray.flatMap((field) => {
      const child = field.resolve().resolvedType;
      const below = child instanceof protobuf.Type && leadsToMap(child) ? child : undefined;
      return field.map || below !== undefined ? [{ name: field.name, map: field.map, repeated: field.repeated, below }] : [];
    });
    plans.set(type, plan);
  }
  return plan;
}

/** The entries in ascending order of keys (UTF-16 code units). The same object if they are so already. */
export function sortedMap<T>(map: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  const keys = Object.keys(map);
  // JavaScript itself puts integer-like keys first, so order among such keys never depends on insertion.
  if (keys.every((key, i) => i === 0 || (keys[i - 1] as string) < key)) return map;
  return Object.fromEntries(keys.toSorted().map((key) => [key, map[key] as T]));
}

/** The message with all its maps sorted, at any depth; parts that need no change are shared, the input is never changed. */
export function withSortedMaps(type: Type, message: Fields): Fields {
  let copy: Record<string, unknown> | undefined;
  for (const { name, map, repeated, below } of planOf(type)) {
    const value = message[name];
    if (value === undefined || value === null || typeof value !== 'object') continue;
    let next: unknown = value;
    if (map) next = sortedValues(below, sortedMap(value as Fields));
    else if (below !== undefined && repeated) next = sortedElements(below, value as readonly Fields[]);
    else if (below !== undefined) next = withSortedMaps(below, value as Fields);
    if (next !== value) (copy ??= { ...message })[name] = next;
  }
  return copy ?? message;
}

function sortedElements(type: Type, elements: readonly Fields[]): readonly Fields[] {
  let copy: Fields[] | undefined;
  for (const [i, element] of elements.entries()) {
    const next = withSortedMaps(type, element);
    if (next !== element) (copy ??= [...elements])[i] = next;
  }
  return copy ?? elements;
}

function sortedValues(type: Type | undefined, map: Fields): Fields {
  if (type === undefined) return map;
  let copy: Record<string, unknown> | undefined;
  for (const [key, value] of Object.entries(map)) {
    const next = withSortedMaps(type, value as Fields);
    if (next !== value) (copy ??= { ...map })[key] = next;
  }
  return copy ?? map;
}
