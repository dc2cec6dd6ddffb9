// [message] -> [first mistake that protobufjs would encode silently]. Type.verify finds none of them: an unknown field is dropped,
// an enum's name becomes 0, a bigint becomes 0, and both members of a oneof are written.
import protobuf from 'protobufjs/light.js';
import type { Enum, Field, Type } from 'protobufjs/light.js';

/** A message that does not have the shape of its type. `path` starts with the type's short name. */
export class MessageShapeError extends Error {
  readonly path: string;
  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`);
    this.name = 'MessageShapeError';
    this.path = path;
  }
}

/** `kind` and a short form of the value, for error texts. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'bigint') return `the bigint ${value}`;
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Uint8Array) return 'bytes';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

const fail = (path: string, problem: string): never => {
  throw new MessageShapeError(path, problem);
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);

/** What a message of a well-known type looks like as a plain object. */
function expectedShape(type: Type): string {
  const name = type.fullName.slice('.google.protobuf.'.length);
  if (type.fullName.startsWith('.google.protobuf.')) {
    if (name.endsWith('Value') && type.fieldsArray.length === 1 && type.fields['value']) return `{ value: … } (${name})`;
    if (name === 'Duration' || name === 'Timestamp') return `{ seconds, nanos } (${name})`;
    if (name === 'Any') return 'the result of any(name, message)';
    if (name === 'Struct') return '{ fields: { key: Value } } (Struct)';
  }
  return `a ${type.name} message`;
}

/** Throws a MessageShapeError for the first mistake, in field order. `path` names the message in the error. */
export function assertShape(type: Type, message: unknown, path: string = type.name): void {
  if (!isRecord(message)) return fail(path, `expected ${expectedShape(type)}, got ${shown(message)}`);
  for (const key of Object.keys(message)) {
    if (message[key] === undefined || Object.hasOwn(type.fields, key)) continue;
    const meant = key.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    fail(path, `unknown field ${key}${Object.hasOwn(type.fields, meant) ? ` (did you mean ${meant}?)` : ''}`);
  }
  for (const oneof of type.oneofsArray) {
    const set = oneof.fieldsArray.map((f) => f.name).filter((name) => message[name] !== undefined);
    if (set.length > 1) fail(path, `oneof ${oneof.name} has more than one member: ${set.join(', ')}`);
  }
  for (const field of type.fieldsArray) {
    const value = message[field.name];
    if (value !== undefined) assertField(field, value, `${path}.${field.name}`);
  }
  if (type.fullName === '.google.protobuf.Any') assertAny(message, path);
}

function assertField(field: Field, value: unknown, path: string): void {
  if (field.map) {
    if (!isRecord(value)) return fail(path, `expected a map, got ${shown(value)}`);
    for (const [key, entry] of Object.entries(value)) assertSingle(field, entry, `${path}[${JSON.stringify(key)}]`);
  } else if (field.repeated) {
    if (!Array.isArray(value)) return fail(path, `expected an array, got ${shown(value)}`);
    for (const [i, element] of value.entries()) assertSingle(field, element, `${path}[${i}]`);
  } else {
    assertSingle(field, value, path);
  }
}

function assertSingle(field: Field, value: unknown, path: string): void {
  const type = field.resolve().resolvedType;
  if (type instanceof protobuf.Type) assertShape(type, value, path);
  else if (type instanceof protobuf.Enum) assertEnum(type, value, path);
  else assertScalar(field.type, value, path);
}

function assertEnum(type: Enum, value: unknown, path: string): void {
  if (typeof value === 'number' && Object.hasOwn(type.valuesById, value)) return;
  const known = typeof value === 'string' ? type.values[value] : undefined;
  const hint = known !== undefined ? `: ${value as string} is ${known}` : `, one of ${Object.values(type.values).join(', ')}`;
  fail(path, `expected a number of the enum ${type.name}${hint}; got ${shown(value)}`);
}

const integerRanges: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-0x8000_0000, 0x7fff_ffff],
  sint32: [-0x8000_0000, 0x7fff_ffff],
  sfixed32: [-0x8000_0000, 0x7fff_ffff],
  uint32: [0, 0xffff_ffff],
  fixed32: [0, 0xffff_ffff],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  sint64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  sfixed64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  fixed64: [0, Number.MAX_SAFE_INTEGER],
};

function assertScalar(kind: string, value: unknown, path: string): void {
  const range = integerRanges[kind];
  if (range !== undefined) {
    if (kind.endsWith('64') && typeof value === 'string' && /^-?\d+$/.test(value)) return;
    if (typeof value !== 'number' || !Number.isInteger(value)) return fail(path, `expected an integer (${kind}), got ${shown(value)}`);
    if (value < range[0] || value > range[1]) fail(path, `${value} is out of the range of ${kind}`);
  } else if (kind === 'bytes') {
    // protobufjs would take a string for base64.
    if (!(value instanceof Uint8Array)) fail(path, `expected bytes, got ${shown(value)}`);
  } else {
    const expected = kind === 'bool' ? 'boolean' : kind === 'string' ? 'string' : 'number';
    if (typeof value !== expected) fail(path, `expected a ${expected}, got ${shown(value)}`);
  }
}

function assertAny(any: Readonly<Record<string, unknown>>, path: string): void {
  const url = any['type_url'];
  if (typeof url !== 'string' || !url.includes('/'))
    fail(path, `type_url ${shown(url ?? '')} is not a type URL; expected the result of any(name, message)`);
}
