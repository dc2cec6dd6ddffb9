import { expect, test } from 'vitest';
import { MessageShapeError, encode, registry, strictEncode } from './index.ts';
import type { MessageName } from './index.ts';

/** Untyped on purpose: what a cast, a spread or parsed JSON brings past the compiler. */
const strict = (name: MessageName, message: unknown) => () => strictEncode(name, message as Record<string, never>);
const listener = 'envoy.config.listener.v3.Listener';

test.each<readonly [string, MessageName, unknown, string]>([
  ['an unknown field', listener, { address: { socket_adress: {} } }, 'Listener.address: unknown field socket_adress'],
  ['camelCase', listener, { filterChains: [] }, 'Listener: unknown field filterChains (did you mean filter_chains?)'],
  ['inside an array', listener, { filter_chains: [{}, { filter: [] }] }, 'Listener.filter_chains[1]: unknown field filter'],
  [
    'inside a map',
    'envoy.config.core.v3.Metadata',
    { filter_metadata: { 'envoy.lb': { canary: true } } },
    'Metadata.filter_metadata["envoy.lb"]: unknown field canary',
  ],
  [
    'an enum as a string',
    'envoy.config.cluster.v3.Cluster',
    { type: 'EDS' },
    'Cluster.type: expected a number of the enum DiscoveryType: EDS is 3; got "EDS"',
  ],
  [
    'a number outside of the enum',
    listener,
    { drain_type: 7 },
    'Listener.drain_type: expected a number of the enum DrainType, one of 0, 1; got 7',
  ],
  [
    'two members of a oneof',
    'envoy.config.core.v3.DataSource',
    { filename: 'a', inline_string: 'b' },
    'DataSource: oneof specifier has more than one member: filename, inline_string',
  ],
  [
    'a wrapper as a number',
    listener,
    { per_connection_buffer_limit_bytes: 1 },
    'Listener.per_connection_buffer_limit_bytes: expected { value: … } (UInt32Value), got 1',
  ],
  [
    'a duration as text',
    listener,
    { listener_filters_timeout: '5s' },
    'Listener.listener_filters_timeout: expected { seconds, nanos } (Duration), got "5s"',
  ],
  ['one element instead of an array', listener, { filter_chains: {} }, 'Listener.filter_chains: expected an array, got an object'],
  ['an array instead of one message', listener, { address: [{}] }, 'Listener.address: expected a Address message, got an array'],
  [
    'an array instead of a map',
    'envoy.config.core.v3.Metadata',
    { filter_metadata: [] },
    'Metadata.filter_metadata: expected a map, got an array',
  ],
  ['null', listener, { address: null }, 'Listener.address: expected a Address message, got null'],
  [
    'a fraction',
    'envoy.config.core.v3.SocketAddress',
    { port_value: 80.5 },
    'SocketAddress.port_value: expected an integer (uint32), got 80.5',
  ],
  [
    'a negative unsigned',
    'envoy.config.core.v3.SocketAddress',
    { port_value: -1 },
    'SocketAddress.port_value: -1 is out of the range of uint32',
  ],
  ['a bigint', 'google.protobuf.Duration', { seconds: 5n }, 'Duration.seconds: expected an integer (int64), got the bigint 5'],
  ['text as bytes', 'envoy.config.core.v3.DataSource', { inline_bytes: 'aGk=' }, 'DataSource.inline_bytes: expected bytes, got "aGk="'],
  ['a number as text', listener, { name: 5 }, 'Listener.name: expected a string, got 5'],
  ['an empty Any', 'envoy.config.core.v3.TypedExtensionConfig', { typed_config: {} }, 'type_url "" is not a type URL'],
  [
    'an Any in its JSON form',
    'envoy.config.core.v3.TypedExtensionConfig',
    { typed_config: { '@type': 'type.googleapis.com/x.Y' } },
    'TypedExtensionConfig.typed_config: unknown field @type',
  ],
])('refuses %s', (_, name, message, text) => {
  expect(strict(name, message)).toThrow(MessageShapeError);
  expect(strict(name, message)).toThrow(text);
});

test('protobufjs itself accepts these silently', () => {
  const type = registry.type('envoy.config.cluster.v3.Cluster');
  expect(type.verify({ nam: 'x' })).toBeNull();
  expect(type.encode({ nam: 'x' }).finish()).toHaveLength(0);
  expect(registry.type('google.protobuf.Duration').encode({ seconds: 5n }).finish()).not.toEqual(
    encode('google.protobuf.Duration', { seconds: 5 }),
  );
  const source = registry.type('envoy.config.core.v3.DataSource').encode({ filename: 'a', inline_string: 'b' }).finish();
  expect(source).toHaveLength(6);
});

test('encode is strict in tests', () => {
  expect(() => encode(listener, { nam: 'x' } as never)).toThrow(MessageShapeError);
});
