import { expect, test } from 'vitest';
import { HttpConnectionManager_CodecType, any, decode, encode, fromJson, registry, toJson, typeUrlOf, unpack } from './index.ts';
import type { Message } from './index.ts';

const listener: Message<'envoy.config.listener.v3.Listener'> = {
  name: 'http',
  address: { socket_address: { address: '0.0.0.0', port_value: 8080 } },
  per_connection_buffer_limit_bytes: { value: 32768 },
  filter_chains: [
    {
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
            stat_prefix: 'http',
            codec_type: HttpConnectionManager_CodecType.HTTP2,
            stream_idle_timeout: { seconds: 300 },
            rds: { route_config_name: 'http', config_source: { ads: {}, initial_fetch_timeout: { seconds: 0 } } },
            http_filters: [{ name: 'envoy.filters.http.router', typed_config: any('envoy.extensions.filters.http.router.v3.Router', {}) }],
          }),
        },
      ],
    },
  ],
};

test('a listener with an HTTP connection manager decodes to what was encoded', () => {
  const decoded = decode('envoy.config.listener.v3.Listener', encode('envoy.config.listener.v3.Listener', listener));
  expect(decoded).toEqual(listener);
  const hcm = unpack(
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    decoded.filter_chains?.[0]?.filters?.[0]?.typed_config ?? {},
  );
  expect(hcm.codec_type).toBe(HttpConnectionManager_CodecType.HTTP2);
  expect(hcm.http_filters?.[0]?.typed_config?.type_url).toBe(typeUrlOf('envoy.extensions.filters.http.router.v3.Router'));
});

test('an Any carries its message: protobufjs in camelCase writes it empty', () => {
  const packed = any('envoy.extensions.filters.http.router.v3.Router', { suppress_envoy_headers: true });
  const bytes = encode('google.protobuf.Any', packed);
  expect(Buffer.from(bytes).toString('latin1')).toContain('type.googleapis.com/envoy.extensions.filters.http.router.v3.Router');
  expect(unpack('envoy.extensions.filters.http.router.v3.Router', decode('google.protobuf.Any', bytes))).toEqual({
    suppress_envoy_headers: true,
  });
});

test('unpack refuses another message and an empty Any', () => {
  const packed = any('envoy.extensions.filters.http.router.v3.Router', {});
  expect(() => unpack('envoy.extensions.filters.http.cors.v3.Cors', packed)).toThrow('got envoy.extensions.filters.http.router.v3.Router');
  expect(() => unpack('envoy.extensions.filters.http.cors.v3.Cors', {})).toThrow('got an empty Any');
});

test('presence: a member of a oneof and a wrapper are written even when they are zero, a plain zero is not', () => {
  expect(encode('envoy.config.core.v3.SocketAddress', { port_value: 0 })).toHaveLength(2);
  expect(encode('google.protobuf.UInt32Value', { value: 0 })).toHaveLength(0);
  expect(encode('envoy.config.listener.v3.Listener', { per_connection_buffer_limit_bytes: { value: 0 } })).toHaveLength(2);
  expect(encode('envoy.config.route.v3.FilterConfig', { disabled: false })).toHaveLength(0);
});

test('an undefined field is absent', () => {
  expect(encode('envoy.config.listener.v3.Listener', { name: 'x', filter_chains: undefined, address: undefined })).toEqual(
    encode('envoy.config.listener.v3.Listener', { name: 'x' }),
  );
});

test('64-bit integers: exact as a number below 2^53 and as a decimal string above', () => {
  const duration = { seconds: 2 ** 40, nanos: 1 };
  expect(decode('google.protobuf.Duration', encode('google.protobuf.Duration', duration))).toEqual(duration);
  const bytes = encode('google.protobuf.UInt64Value', { value: '18446744073709551615' });
  expect(toJson('google.protobuf.UInt64Value', bytes)).toBe('18446744073709551615');
});

test('ProtoJSON has the names of the .proto files and opens an Any; it reads both forms of names', () => {
  const bytes = encode('envoy.config.listener.v3.Listener', listener);
  const json = toJson('envoy.config.listener.v3.Listener', bytes);
  expect(json).toMatchObject({
    address: { socket_address: { port_value: 8080 } },
    per_connection_buffer_limit_bytes: 32768,
    filter_chains: [
      {
        filters: [
          {
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              codec_type: 'HTTP2',
              stream_idle_timeout: '300s',
            },
          },
        ],
      },
    ],
  });
  expect(fromJson('envoy.config.listener.v3.Listener', json)).toEqual(bytes);
  expect(fromJson('envoy.config.listener.v3.Listener', { perConnectionBufferLimitBytes: 1 })).toEqual(
    fromJson('envoy.config.listener.v3.Listener', { per_connection_buffer_limit_bytes: 1 }),
  );
});

test('ProtoJSON refuses unknown fields, unknown messages and two members of a oneof', () => {
  expect(() => fromJson('envoy.config.listener.v3.Listener', { nam: 'x' })).toThrow('nam');
  expect(() => fromJson('envoy.config.core.v3.TypedExtensionConfig', { typed_config: { '@type': 'type.googleapis.com/no.Such' } })).toThrow(
    'no such',
  );
  expect(() => fromJson('envoy.config.core.v3.DataSource', { inline_string: 'a', filename: 'b' })).toThrow();
});

test('the registry knows what it covers', () => {
  expect(registry.has('envoy.config.listener.v3.Listener')).toBe(true);
  expect(registry.has('envoy.config.listener.v3.Listenr')).toBe(false);
  expect(registry.has('envoy.config.listener.v3')).toBe(false);
  expect(() => registry.type('envoy.config.listener.v3.Listenr')).toThrow('Next step');
  expect(registry.names()).toContain('envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig');
});

test('every message encodes and decodes empty', () => {
  // An Any without a type URL is a mistake (strict.ts).
  for (const name of registry.names().filter((n) => n !== 'google.protobuf.Any')) expect(decode(name, encode(name, {}))).toEqual({});
});

test('names and shapes are checked by the compiler', () => {
  const wrong = () => [
    // @ts-expect-error the name of a message that does not exist
    () => any('envoy.extensions.filters.http.router.v3.Ruter', {}),
    // @ts-expect-error a field that does not exist
    () => any('envoy.extensions.filters.http.router.v3.Router', { suppress_headers: true }),
    // @ts-expect-error an enum as a string
    () => encode('envoy.config.cluster.v3.Cluster', { type: 'EDS' }),
    // @ts-expect-error a wrapper as a bare number
    () => encode('envoy.config.listener.v3.Listener', { per_connection_buffer_limit_bytes: 1 }),
    // @ts-expect-error a field of a message that has none
    () => encode('google.protobuf.Empty', { value: 1 }),
  ];
  expect(wrong()).toHaveLength(5);
});

test('ProtoJSON of a Struct', () => {
  const fields = {
    text: { string_value: 'x' },
    count: { number_value: 1.5 },
    flag: { bool_value: true },
    list: { list_value: { values: [{}] } },
  };
  const packed = any('envoy.extensions.filters.http.lua.v3.LuaPerRoute', { name: 'n', filter_context: { fields } });
  const json = { text: 'x', count: 1.5, flag: true, list: [null] };
  expect(toJson('google.protobuf.Struct', encode('google.protobuf.Struct', { fields }))).toEqual(json);
  expect(toJson('google.protobuf.Any', encode('google.protobuf.Any', packed))).toMatchObject({ filter_context: json });
});
