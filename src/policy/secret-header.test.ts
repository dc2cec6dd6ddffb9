import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Secret } from '../kube/types/core.ts';
import { type HeaderValueSpec, headerModifier } from './headers.ts';

const secret: Secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 's', namespace: 'demo' },
  data: Object.fromEntries(
    Object.entries({ 'x-token': 'hunter2\n', percent: '100%REQ(a)%', broken: 'line\nbreak', 'no name': 'x', long: 'x'.repeat(5000) }).map(
      ([key, value]) => [key, Buffer.from(value).toString('base64')],
    ),
  ),
};
const few: Secret = { ...secret, data: { b: Buffer.from('2').toString('base64'), a: Buffer.from('1').toString('base64') } };

function read(header: HeaderValueSpec, found: Secret | string = secret) {
  const { value, problems } = headerModifier({ set: [header] }, 'f', { secrets: () => found });
  const values = value?.set.map((h) => [h.name, typeof h.value === 'string' ? h.value : Buffer.from(h.value.reveal()).toString()]);
  return { values, problems: problems.map((p) => `${p.field}: ${p.message}`), shown: inspect({ value, problems }, { depth: 9 }) };
}

describe('a header from a Secret', () => {
  test.each<[HeaderValueSpec, Secret, string[][]]>([
    [{ name: 'x-a', secretRef: { name: 's', key: 'x-token' } }, secret, [['x-a', 'hunter2']]],
    [{ name: 'x-token', secretRef: { name: 's' } }, secret, [['x-token', 'hunter2']]],
    [{ secretRef: { name: 's', key: 'x-token' } }, secret, [['x-token', 'hunter2']]],
    [
      { secretRef: { name: 's' } },
      few,
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    // Literal: Envoy's operators are not read into it.
    [{ name: 'x-a', secretRef: { name: 's', key: 'percent' } }, secret, [['x-a', '100%%REQ(a)%%']]],
  ])('%j', (header, from, values) => {
    expect(read(header, from)).toMatchObject({ values, problems: [] });
  });

  test.each<[HeaderValueSpec, Secret | string, RegExp]>([
    [{ name: 'x-a', secretRef: { name: 's', key: 'gone' } }, secret, /^f.set\[0\].secretRef: Secret s has no key "gone"$/],
    [{ name: 'constructor', secretRef: { name: 's' } }, secret, /has no key "constructor"/],
    [{ name: 'x-a', secretRef: { name: 's', key: 'broken' } }, secret, /the value of key "broken" of Secret s is no header value/],
    [{ name: 'x-a', secretRef: { name: 's', key: 'long' } }, secret, /has 5000 characters/],
    [{ name: 'x-a', secretRef: { name: 's' } }, 'Secret demo/s not found', /^f.set\[0\].secretRef: Secret demo\/s not found$/],
    [{ name: 'host', secretRef: { name: 's', key: 'x-token' } }, secret, /"host" cannot be modified/],
    [{ name: 'x-a', value: 'b', secretRef: { name: 's' } }, secret, /exactly one of/],
    [{ name: 'x-a' }, secret, /exactly one of/],
    [{ value: 'x' }, secret, /name is required/],
  ])('%j is refused', (header, found, why) => {
    const { values, problems } = read(header, found);
    expect(values).toEqual([]);
    expect(problems).toEqual([expect.stringMatching(why)]);
  });

  test('what is in it is never shown', () => {
    expect(read({ name: 'x-a', secretRef: { name: 's', key: 'x-token' } }).shown).not.toContain('hunter2');
    expect(read({ secretRef: { name: 's' } }).shown).not.toMatch(/hunter2|line|100%/);
  });
});
