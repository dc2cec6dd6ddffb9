/** What certificates are made with: one kind of keys, and a library that wants to be set up before anybody uses it. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { PemConverter, cryptoProvider } from '@peculiar/x509';

cryptoProvider.set(webcrypto as never);

export * as x509 from '@peculiar/x509';

export const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A new key pair; its private key may be read. */
export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

/** A private key as PEM (PKCS #8). */
export async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}
