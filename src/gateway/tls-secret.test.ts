import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createCertificate } from '../cmd/xds-certificate.ts';
import { Graph, source } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';
import { keyPairOf, tlsSecrets } from './tls-secret.ts';

const [one, two] = await Promise.all(['one', 'two'].map((name) => createCertificate([name], 1_800_000_000_000)));

function secretOf(certificate: string, key: string): Secret {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'default', name: 's' },
    data: { 'tls.crt': base64(certificate), 'tls.key': base64(key) },
  };
}

const [certificate, key] = [String(one?.certificate), String(one?.privateKey)];

describe('a Secret is read', () => {
  test('with a chain, and text around it', () => {
    expect(keyPairOf(secretOf(`comment\n${certificate}${one?.ca}rest`, key))).not.toBeTypeOf('string');
  });

  test.each([
    ['', key, 'tls.crt is missing or empty; use a Secret of type kubernetes.io/tls'],
    [certificate, '', 'tls.key is missing or empty; use a Secret of type kubernetes.io/tls'],
    ['text', key, 'tls.crt is not a PEM certificate'],
    [`${certificate}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, key, 'tls.crt is not a PEM certificate'],
    [certificate, 'text', 'tls.key is not a PEM private key'],
    [certificate, String(two?.privateKey), 'tls.key does not belong to the certificate in tls.crt'],
    [
      certificate,
      generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      'tls.key does not belong to the certificate in tls.crt',
    ],
  ])('or it is said what is wrong (%#)', (crt, pem, why) => {
    expect(keyPairOf(secretOf(crt, pem))).toBe(`invalid TLS secret default/s: ${why}`);
  });
});

test('the last valid pair stays until there is a valid one, or no Secret', () => {
  const g = new Graph({ schedule: () => {}, assertions: true });
  const secrets = source<Secret>(g, { name: 'Secret', key: keyOf });
  const { keyPairs, states } = tlsSecrets(g, secrets);
  const invalid = secretOf(certificate, String(two?.privateKey));
  const after = (secret: Secret | undefined) => {
    if (secret) secrets.set(secret);
    else secrets.delete('default/s');
    while (g.dirty) g.flush();
    const state = states.get('default/s');
    return [keyPairs.get('default/s')?.certificate.reveal().toString(), state?.served, state?.problem !== undefined];
  };
  secrets.markSynced();
  expect(after(invalid)).toEqual([undefined, false, true]);
  expect(after(secretOf(certificate, key))).toEqual([certificate, true, false]);
  expect(after(invalid)).toEqual([certificate, true, true]);
  expect(after(secretOf(String(two?.certificate), String(two?.privateKey)))).toEqual([String(two?.certificate), true, false]);
  expect(after(undefined)).toEqual([undefined, undefined, false]);
  expect(after(invalid)).toEqual([undefined, false, true]);
});
