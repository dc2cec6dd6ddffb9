import { createHash, createPublicKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { nobodysKey, nobodysKeySet, usableKeySet } from './jwks.ts';

test('the key that nobody has is derived from a sentence', () => {
  expect(nobodysKey.x).toBe(createHash('sha256').update('a key that nobody has, 1').digest('base64url'));
  // Throws for what is no point of the curve.
  expect(createPublicKey({ key: { ...nobodysKey }, format: 'jwk' }).asymmetricKeyType).toBe('ec');
});

test('a set is never without a usable key', () => {
  expect(usableKeySet('{"keys":[]}')).toBe(nobodysKeySet);
  expect(usableKeySet('{"keys":[1,null,[],{"kty":"RSA"}],"more":true}')).toBe(JSON.stringify({ keys: [{ kty: 'RSA' }, nobodysKey] }));
});

test.each(['', 'null', '[]', '{}', '{"keys":{}}', '{"keys"'])('%j is no key set', (text) => {
  expect(usableKeySet(text)).toBeUndefined();
});
