import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { SecretBytes } from './secret-bytes.ts';

const secret = new SecretBytes(Buffer.from('hunter2'));

test.each([
  ['JSON', JSON.stringify({ key: secret })],
  ['a template', `key: ${String(secret)}`],
  ['inspect', inspect({ deep: { key: secret } })],
  ['an error', String(new Error(String(secret)))],
  ['Object.values', JSON.stringify(Object.entries(secret))],
])('%s does not show it', (_where, text) => {
  expect(text).not.toMatch(/hunter2|68,117|104/);
});

test('it is revealed on purpose, and compared without', () => {
  expect(Buffer.from(secret.reveal()).toString()).toBe('hunter2');
  expect(secret.equals(new SecretBytes(Buffer.from('hunter2')))).toBe(true);
  expect(secret.equals(new SecretBytes(Buffer.from('hunter3')))).toBe(false);
});
