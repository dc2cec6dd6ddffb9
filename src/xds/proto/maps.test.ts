import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { any, encode, registry, sortedMap } from './index.ts';
import { withSortedMaps } from './maps.ts';

const text = (value: string) => ({ string_value: value });
const reversed = <T>(map: Readonly<Record<string, T>>): Record<string, T> => Object.fromEntries(Object.entries(map).toReversed());

test('protobufjs writes map entries in insertion order, encode does not', () => {
  const type = registry.type('google.protobuf.Struct');
  const [ab, ba] = [{ fields: { a: text('1'), b: text('2') } }, { fields: { b: text('2'), a: text('1') } }];
  expect(type.encode(ba).finish()).not.toEqual(type.encode(ab).finish());
  expect(encode('google.protobuf.Struct', ba)).toEqual(encode('google.protobuf.Struct', ab));
});

test('bytes do not depend on insertion order, whatever the keys', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string()), (entries) => {
      const fields = Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, text(value)]));
      expect(encode('google.protobuf.Struct', { fields: reversed(fields) })).toEqual(encode('google.protobuf.Struct', { fields }));
    }),
  );
});

test('maps deep inside messages, arrays, maps and recursive types are sorted', () => {
  const route = (order: <T>(map: Record<string, T>) => Record<string, T>) =>
    encode('envoy.config.route.v3.RouteConfiguration', {
      virtual_hosts: [
        {
          routes: [
            {
              typed_per_filter_config: order({ a: any('google.protobuf.Empty', {}), b: any('google.protobuf.Empty', {}) }),
              metadata: {
                filter_metadata: order({
                  x: { fields: order({ p: { struct_value: { fields: order({ q: text('1'), r: text('2') }) } }, s: text('3') }) },
                  y: {},
                }),
              },
            },
          ],
        },
      ],
    });
  expect(route(reversed)).toEqual(route((map) => map));
});

test('the input is not changed, and is used as it is when already sorted', () => {
  const type = registry.type('google.protobuf.Struct');
  const unsorted = { fields: { b: text('2'), a: text('1') } };
  withSortedMaps(type, unsorted);
  expect(Object.keys(unsorted.fields)).toEqual(['b', 'a']);
  const sorted = { fields: { a: text('1'), b: text('2') } };
  expect(withSortedMaps(type, sorted)).toBe(sorted);
  expect(sortedMap(sorted.fields)).toBe(sorted.fields);
});
