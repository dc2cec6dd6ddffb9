// [typed plain object] -> [bytes] -> [typed plain object]: the one place where protobuf messages are made and read.
// Names are those of the .proto files: fields in snake_case, enums as the numeric constants of enums.ts, wrappers as { value }.
// With NODE_ENV=test every encode checks the shape of what it is given (strict.ts).
import protojson from 'protobufjs/ext/protojson.js';
import { withSortedMaps } from './maps.ts';
import { messageNameOf, registry, typeUrlOf } from './registry.ts';
import type { MessageName } from './registry.ts';
import { assertShape } from './strict.ts';
import type { Any, MessageTypes } from './types.ts';

export * from './enums.ts';
export { sortedMap } from './maps.ts';
export { messageNameOf, registry, typeUrlOf } from './registry.ts';
export type { MessageName } from './registry.ts';
export { MessageShapeError, assertShape } from './strict.ts';
export type * from './types.ts';

/** The interface of a message by its full name. */
export type Message<N extends MessageName> = MessageTypes[N];

/** A value of ProtoJSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const strict = process.env['NODE_ENV'] === 'test';

/** Serializes a message. Deterministic: fields by number, map entries by key. In tests, throws a MessageShapeError for a wrong shape. */
export function encode<N extends MessageName>(name: N, message: MessageTypes[N]): Uint8Array {
  return strict ? strictEncode(name, message) : encodeUnchecked(name, message);
}

/** Like `encode`, and always throws a MessageShapeError when the object is not of the message's shape. */
export function strictEncode<N extends MessageName>(name: N, message: MessageTypes[N]): Uint8Array {
  assertShape(registry.type(name), message);
  return encodeUnchecked(name, message);
}

function encodeUnchecked(name: string, message: object): Uint8Array {
  const type = registry.type(name);
  return type.encode(withSortedMaps(type, message as Readonly<Record<string, unknown>>)).finish();
}

/** A message in an Any, encoded at once. The name selects the type, so a wrong field does not compile. */
export function any<N extends MessageName>(name: N, message: MessageTypes[N]): Required<Pick<Any, 'type_url' | 'value'>> {
  return { type_url: typeUrlOf(name), value: encode(name, message) };
}

/**
 * Parses a message into a plain object: fields that were not on the wire are absent, enums and 64-bit integers are numbers
 * (inexact above 2^53), unknown fields are dropped. Throws for bytes that are not a message.
 */
export function decode<N extends MessageName>(name: N, bytes: Uint8Array): MessageTypes[N] {
  const type = registry.type(name);
  return type.toObject(type.decode(bytes), { longs: Number }) as MessageTypes[N];
}

/** What an Any holds. Throws if it is another message. */
export function unpack<N extends MessageName>(name: N, packed: Any): MessageTypes[N] {
  const actual = messageNameOf(packed.type_url ?? '');
  if (actual !== name) throw new Error(`expected ${name} in an Any, got ${actual === '' ? 'an empty Any' : actual}`);
  return decode(name, packed.value ?? new Uint8Array());
}

/** ProtoJSON of encoded bytes, with the names of the .proto files as Envoy's config_dump has them. For people and tests, not for the push path. */
export function toJson(name: MessageName, bytes: Uint8Array): Json {
  const type = registry.jsonType(name);
  return protojson.toJson(type, type.decode(bytes)) as Json;
}

/** Bytes of ProtoJSON (snake_case or camelCase; `@type` in an Any). Throws for an unknown field, enum name or message. */
export function fromJson(name: MessageName, json: Json): Uint8Array {
  const type = registry.jsonType(name);
  const message = protojson.fromJson(type, json);
  return type.encode(withSortedMaps(type, message as unknown as Readonly<Record<string, unknown>>)).finish();
}
