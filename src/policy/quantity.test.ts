import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantityValue } from './quantity.ts';

test.each([
  ['0', 0],
  [4096, 4096],
  ['64Ki', 65_536],
  ['1Mi', 1_048_576],
  ['1.5Gi', 1_610_612_736],
  ['4Gi', 4_294_967_296],
  ['1k', 1000],
  ['1M', 1_000_000],
  ['1E', 1e18],
  ['1e3', 1000],
  ['1E3', 1000],
  ['12e-1', 2],
  ['.5Ki', 512],
  ['5.', 5],
  ['+1', 1],
  ['-1Ki', -1024],
  ['-0.5', 0],
  ['100m', 1],
  ['1500m', 2],
  ['1n', 1],
])('%s is %d', (text, value) => {
  expect(quantityValue(text)).toBe(value);
});

test.each(['', 'x', '1MiB', '1 Mi', '1mi', 'Ki', '.', '1e', '0x10', '1,5'])('%j is no quantity', (text) => {
  expect(quantityValue(text)).toBeUndefined();
});

test('binary suffixes multiply by powers of 1024', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1023 }), fc.constantFrom('Ki', 'Mi', 'Gi'), (n, suffix) => {
      expect(quantityValue(`${n}${suffix}`)).toBe(n * 1024 ** (['Ki', 'Mi', 'Gi'].indexOf(suffix) + 1));
    }),
  );
});
