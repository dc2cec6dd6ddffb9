import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineSplitter } from './lines.ts';

test('however a text is cut into chunks, its lines come out', () => {
  const line = fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\n') && s !== '');
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(200)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((l) => `${l}\n`).join(''));
      const got: string[] = [];
      const feed = lineSplitter((l) => got.push(l));
      let at = 0;
      for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
        const end = Math.max(at, Math.min(cut, bytes.length));
        feed(bytes.subarray(at, end));
        at = end;
      }
      expect(got).toEqual(lines);
    }),
  );
});
