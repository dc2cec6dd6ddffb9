import { describe, expect, test } from 'vitest';
import { tlsOptionKeys, tlsOptions, withClientOptions } from './tls-options.ts';

const hash = 'ab'.repeat(32);
const read = (options: Readonly<Record<string, string>>) =>
  tlsOptions(Object.fromEntries(Object.entries(options).map(([k, v]) => [`kgateway.dev/${k}`, v])), 'tls.options');

test('without options the least version is 1.2, and the rest is the proxy’s', () => {
  expect(tlsOptions(undefined, 'tls.options')).toEqual({
    options: { parameters: { minVersion: '1.2' }, subjectAltNames: [], certificateHashes: [] },
    problems: [],
  });
});

test('keys of others are theirs', () => {
  expect(tlsOptions({ 'example.com/ciphers': 'all' }, 'tls.options').problems).toEqual([]);
});

test.each<[string, string, unknown]>([
  ['min-tls-version', '1.3', { parameters: { minVersion: '1.3' } }],
  ['min-tls-version', ' 1.0 ', { parameters: { minVersion: '1.0' } }],
  ['max-tls-version', '1.2', { parameters: { minVersion: '1.2', maxVersion: '1.2' } }],
  ['cipher-suites', 'AES128-SHA, TLS_AES_128_GCM_SHA256', { parameters: { minVersion: '1.2', cipherSuites: ['AES128-SHA'] } }],
  ['ecdh-curves', 'X25519,P-256,X25519', { parameters: { minVersion: '1.2', curves: ['X25519', 'P-256'] } }],
  ['signature-algorithms', 'ed25519', { parameters: { minVersion: '1.2', signatureAlgorithms: ['ed25519'] } }],
  ['alpn-protocols', 'h2, http/1.1', { alpn: ['h2', 'http/1.1'] }],
  ['alpn-protocols', 'allow-empty', { alpn: [] }],
  [
    'verify-subject-alt-names',
    'a.example.com,spiffe://td/ns/a,b@example.com,10.0.0.1,fd00::1',
    {
      subjectAltNames: [
        { type: 'dns', value: 'a.example.com' },
        { type: 'uri', value: 'spiffe://td/ns/a' },
        { type: 'email', value: 'b@example.com' },
        { type: 'ip', value: '10.0.0.1' },
        { type: 'ip', value: 'fd00::1' },
      ],
    },
  ],
  ['verify-certificate-hash', `${hash.toUpperCase()},- ${hash.replaceAll(/..(?=.)/g, '$&:')}`, { certificateHashes: [hash, hash] }],
])('%s: %s', (key, value, expected) => {
  const { options, problems } = read({ [key]: value });
  expect(problems).toEqual([]);
  expect(options).toMatchObject(expected as object);
});

describe('what is wrong is said', () => {
  test.each<[string, string, string]>([
    ['ciphers', 'x', `unknown tls option: kgateway.dev/ciphers; use one of ${tlsOptionKeys.join(', ')}`],
    ['hasOwnProperty', 'x', `unknown tls option: kgateway.dev/hasOwnProperty; use one of ${tlsOptionKeys.join(', ')}`],
    ['min-tls-version', 'TLSv1_2', '"TLSv1_2" is no version of TLS; use 1.0, 1.1, 1.2, 1.3'],
    ['max-tls-version', '1.1', 'maximum tls version 1.1 is less than minimum tls version 1.2, the default one; set min-tls-version too'],
    ['cipher-suites', 'RC4', '"RC4" is not known; use names such as ECDHE-RSA-AES128-GCM-SHA256 or TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
    [
      'cipher-suites',
      'TLS_AES_128_GCM_SHA256',
      'cipher suites of TLS 1.3 alone leave none for TLS 1.2; name one, or set min-tls-version to 1.3',
    ],
    ['ecdh-curves', '', '"" is not known; use X25519MLKEM768, X25519, P-256, P-384, P-521'],
    ['verify-certificate-hash', 'abc', '"abc" is no SHA-256 hash: 64 hexadecimal digits, with or without colons'],
  ])('%s: %s', (key, value, message) => {
    expect(read({ [key]: value }).problems).toEqual([{ field: `tls.options[kgateway.dev/${key}]`, message }]);
  });

  test('both versions', () => {
    expect(read({ 'min-tls-version': '1.3', 'max-tls-version': '1.2' }).problems[0]?.message).toBe(
      'maximum tls version 1.2 is less than minimum tls version 1.3',
    );
  });
});

test('suites of TLS 1.3 alone are fine where nothing older is spoken, and cannot be chosen', () => {
  const { options, problems } = read({ 'min-tls-version': '1.3', 'cipher-suites': 'TLS_AES_128_GCM_SHA256' });
  expect([options.parameters, problems]).toEqual([{ minVersion: '1.3' }, []]);
});

describe('clients', () => {
  const clients = { pem: 'ca', required: true };
  const names = read({ 'verify-subject-alt-names': 'a' }).options;
  const hashes = read({ 'verify-certificate-hash': hash }).options;

  test('are asked for what Gateway and options say', () => {
    expect(withClientOptions(clients, read({}).options)).toBe(clients);
    expect(withClientOptions(undefined, read({}).options)).toBeUndefined();
    expect(withClientOptions(clients, names)).toEqual({ ...clients, subjectAltNames: [{ type: 'dns', value: 'a' }] });
    expect(withClientOptions(clients, hashes)).toEqual({ ...clients, certificateHashes: [hash] });
  });

  test('a hash is enough by itself, a name is not', () => {
    expect(withClientOptions(undefined, hashes)).toEqual({ required: true, certificateHashes: [hash] });
    expect(withClientOptions(undefined, names)).toMatch(/^kgateway.dev\/verify-subject-alt-names needs CAs/);
  });
});
