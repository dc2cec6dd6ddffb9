import { expect, test } from 'vitest';
import { durationMs } from './duration.ts';

test.each([
  ['0s', 0],
  ['10s', 10_000],
  ['500ms', 500],
  ['1h30m', 5_400_000],
  ['1h1m1s1ms', 3_661_001],
  ['2m', 120_000],
  ['99999h', 359_996_400_000],
])('%s is %d ms', (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});

test.each(['', '10', '1.5s', '-1s', '100000s', '1d', '1s ', '1s1s1s1s1s', 's', '1us'])('%j is no duration', (text) => {
  expect(durationMs(text)).toBeUndefined();
});
