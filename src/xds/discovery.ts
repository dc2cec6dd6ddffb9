/**
 * The discovery messages on the wire (envoy.service.discovery.v3): requests decoded, responses put together from memoised pieces.
 *
 *     Buffer -> DeltaRequest | StateRequest          XdsResource.bytes + memoised header -> response Buffer
 *
 * By hand and not through the descriptors, for two reasons: of a request only a few fields are of use (the first one carries some
 * 30 KB of Node that nobody reads), and a response must be a concatenation of bytes that exist already.
 */
import type { XdsResource } from './resource.ts';

/** The part of envoy.config.core.v3.Node that we read. */
export interface Node {
  readonly id: string;
  readonly cluster: string;
  /** Strings of the top level of `metadata`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** envoy.service.discovery.v3.DeltaDiscoveryRequest. */
export interface DeltaRequest {
  readonly node?: Node;
  readonly type: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: ReadonlyMap<string, string>;
  readonly nonce: string;
  /** Message of `error_detail`: present = NACK. */
  readonly error?: string;
}

/** envoy.service.discovery.v3.DiscoveryRequest. */
export interface StateRequest {
  readonly node?: Node;
  readonly type: string;
  readonly version: string;
  readonly names: readonly string[];
  readonly nonce: string;
  readonly error?: string;
}

/** One field of a message: a number for varints, bytes for all that has a length; fixed-width fields are skipped. */
export type Field = readonly [number: number, value: number | Buffer];

/** Reads a varint; returns the value and the next offset. Values above 2^53 lose precision: no field here has them. */
function varint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  let scale = 1;
  for (let i = at; i < bytes.length && i < at + 10; i++) {
    const byte = bytes[i] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, i + 1];
    scale *= 128;
  }
  throw new Error('discovery request: truncated varint');
}

/** The fields of a serialized message, in order. Throws on malformed bytes. */
export function* fields(bytes: Buffer): Generator<Field> {
  let at = 0;
  while (at < bytes.length) {
    const [tag, afterTag] = varint(bytes, at);
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0: {
        const [value, next] = varint(bytes, afterTag);
        yield [number, value];
        at = next;
        break;
      }
      case 1:
        at = afterTag + 8;
        break;
      case 2: {
        const [length, start] = varint(bytes, afterTag);
        if (start + length > bytes.length) throw new Error('discovery request: truncated field');
        yield [number, bytes.subarray(start, start + length)];
        at = start + length;
        break;
      }
      case 5:
        at = afterTag + 4;
        break;
      default:
        throw new Error(`discovery request: wire type ${tag % 8} is not supported`);
    }
  }
}

function text(value: number | Buffer | undefined): string {
  return Buffer.isBuffer(value) ? value.toString('utf8') : '';
}

/** The last value of a field, as protobuf has it for fields that occur once. */
function field(bytes: Buffer, wanted: number): number | Buffer | undefined {
  let found: number | Buffer | undefined;
  for (const [number, value] of fields(bytes)) if (number === wanted) found = value;
  return found;
}

/** An entry of map<string, V>: key and the bytes of the value. */
function entry(bytes: Buffer): [key: string, value: number | Buffer | undefined] {
  return [text(field(bytes, 1)), field(bytes, 2)];
}

function decodeNode(bytes: Buffer): Node {
  let id = '';
  let cluster = '';
  const metadata: Record<string, string> = {};
  for (const [number, value] of fields(bytes)) {
    if (number === 1) id = text(value);
    else if (number === 2) cluster = text(value);
    else if (number === 3 && Buffer.isBuffer(value)) {
      // google.protobuf.Struct { fields = 1 }, Value { string_value = 3 }
      for (const [structField, item] of fields(value)) {
        if (structField !== 1 || !Buffer.isBuffer(item)) continue;
        const [key, content] = entry(item);
        const string = Buffer.isBuffer(content) ? field(content, 3) : undefined;
        if (Buffer.isBuffer(string)) metadata[key] = string.toString('utf8');
      }
    }
  }
  return { id, cluster, metadata };
}

/** Message of a google.rpc.Status; never empty, so that a NACK without a message stays a NACK. */
function decodeStatus(value: number | Buffer): string {
  return (Buffer.isBuffer(value) && text(field(value, 2))) || 'rejected without a message';
}

/** Decodes a DeltaDiscoveryRequest, without its node if that is known. Throws on malformed bytes. */
export function decodeDeltaRequest(bytes: Buffer, nodeKnown = false): DeltaRequest {
  let node: Node | undefined;
  let type = '';
  let nonce = '';
  let error: string | undefined;
  const subscribe: string[] = [];
  const unsubscribe: string[] = [];
  const initialVersions = new Map<string, string>();
  for (const [number, value] of fields(bytes)) {
    if (number === 1 && Buffer.isBuffer(value)) node = nodeKnown ? undefined : decodeNode(value);
    else if (number === 2) type = text(value);
    else if (number === 3) subscribe.push(text(value));
    else if (number === 4) unsubscribe.push(text(value));
    else if (number === 5 && Buffer.isBuffer(value)) {
      const [name, version] = entry(value);
      initialVersions.set(name, text(version));
    } else if (number === 6) nonce = text(value);
    else if (number === 7) error = decodeStatus(value);
  }
  return { ...(node && { node }), type, subscribe, unsubscribe, initialVersions, nonce, ...(error !== undefined && { error }) };
}

/** Decodes a DiscoveryRequest (state of the world), without its node if that is known. Throws on malformed bytes. */
export function decodeStateRequest(bytes: Buffer, nodeKnown = false): StateRequest {
  let node: Node | undefined;
  let type = '';
  let version = '';
  let nonce = '';
  let error: string | undefined;
  const names: string[] = [];
  for (const [number, value] of fields(bytes)) {
    if (number === 1) version = text(value);
    else if (number === 2 && Buffer.isBuffer(value)) node = nodeKnown ? undefined : decodeNode(value);
    else if (number === 3) names.push(text(value));
    else if (number === 4) type = text(value);
    else if (number === 5) nonce = text(value);
    else if (number === 6) error = decodeStatus(value);
  }
  return { ...(node && { node }), type, version, names, nonce, ...(error !== undefined && { error }) };
}

function encodeVarint(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
  return Buffer.from(out);
}

/** Tag and length of a field that has a length. */
function prefix(number: number, length: number): Buffer {
  return Buffer.concat([encodeVarint(number * 8 + 2), encodeVarint(length)]);
}

/** A field that has a length: string, bytes or message. */
export function lengthDelimited(number: number, value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([prefix(number, bytes.length), bytes]);
}

/** Header of google.protobuf.Any: all up to the bytes of its value. */
function anyHeader(resource: XdsResource): Buffer {
  return Buffer.concat([lengthDelimited(1, resource.type), prefix(2, resource.bytes.length)]);
}

const deltaHeaders = new WeakMap<XdsResource, Buffer>();
const stateHeaders = new WeakMap<XdsResource, Buffer>();

/**
 * What comes before `resource.bytes` in a DeltaDiscoveryResponse: `resources = 2 { name = 3, version = 1, resource = 2 { Any } }`.
 * The Any goes last, so that header and bytes together are the field and the bytes need not be copied per resource. Memoised.
 */
function deltaHeader(resource: XdsResource): Buffer {
  let header = deltaHeaders.get(resource);
  if (!header) {
    const any = anyHeader(resource);
    const start = Buffer.concat([lengthDelimited(3, resource.name), lengthDelimited(1, resource.version)]);
    const inner = Buffer.concat([start, prefix(2, any.length + resource.bytes.length), any]);
    header = Buffer.concat([prefix(2, inner.length + resource.bytes.length), inner]);
    deltaHeaders.set(resource, header);
  }
  return header;
}

/** What comes before `resource.bytes` in a DiscoveryResponse: `resources = 2 { Any }`. Memoised. */
function stateHeader(resource: XdsResource): Buffer {
  let header = stateHeaders.get(resource);
  if (!header) {
    const any = anyHeader(resource);
    header = Buffer.concat([prefix(2, any.length + resource.bytes.length), any]);
    stateHeaders.set(resource, header);
  }
  return header;
}

/** What a response says, whichever the protocol. */
export interface Response {
  readonly type: string;
  readonly nonce: string;
  readonly resources: readonly XdsResource[];
  /** Delta only. */
  readonly removed: readonly string[];
}

/** Encodes a DeltaDiscoveryResponse. */
export function encodeDeltaResponse(response: Response): Buffer {
  const pieces: Uint8Array[] = [];
  for (const resource of response.resources) pieces.push(deltaHeader(resource), resource.bytes);
  pieces.push(lengthDelimited(4, response.type), lengthDelimited(5, response.nonce));
  for (const name of response.removed) pieces.push(lengthDelimited(6, name));
  return Buffer.concat(pieces);
}

/** Encodes a DiscoveryResponse; its version is the nonce: nobody compares versions over streams. */
export function encodeStateResponse(response: Response): Buffer {
  const pieces: Uint8Array[] = [lengthDelimited(1, response.nonce)];
  for (const resource of response.resources) pieces.push(stateHeader(resource), resource.bytes);
  pieces.push(lengthDelimited(4, response.type), lengthDelimited(5, response.nonce));
  return Buffer.concat(pieces);
}
