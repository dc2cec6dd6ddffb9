/**
 * TLS Secrets, in two halves that change for different reasons:
 *
 *   [Secret] -> ParsedSecrets ─┬─> KeyPairs      what proxies show: the last pair that was valid -> SDS
 *                              └─> SecretStates  whether there is such a pair, and what is wrong with the Secret now -> Gateways
 *
 * So a rotation changes one SDS resource and looks at no Gateway; and a Secret that turns invalid takes nothing down. One that is deleted does.
 */
import { type X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyPair } from '../ir/listener.ts';
import { SecretBytes } from '../ir/secret-bytes.ts';
import { type Collection, type Graph, map } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';
import { secretBytes } from '../kube/types/secret.ts';
import { certificatesIn } from './pem.ts';

/** A Secret as listeners see it. */
export interface SecretState {
  readonly key: string;
  /** True when it is a key pair, or was one before it turned invalid: proxies have that pair. */
  readonly served: boolean;
  /** What is wrong with it now. */
  readonly problem?: string;
}

export interface TlsSecrets {
  /** By key of the Secret. */
  readonly keyPairs: Collection<KeyPair>;
  readonly states: Collection<SecretState>;
}

/** Builds the collections. */
export function tlsSecrets(g: Graph, secrets: Collection<Secret>): TlsSecrets {
  const parsed = map(g, secrets, { name: 'ParsedSecrets' }, (_ctx, secret) => ({
    key: keyOf(secret),
    pair: keyPairOf(secret),
  }));
  const keyPairs = map(g, parsed, { name: 'KeyPairs' }, (ctx, { pair }) => {
    if (typeof pair !== 'string') return pair;
    ctx.keepLast();
    return undefined;
  });
  const states = map(g, parsed, { name: 'SecretStates' }, (ctx, { key, pair }): SecretState => {
    if (typeof pair !== 'string') return { key, served: true };
    return { key, served: ctx.fetchOne(keyPairs, key) !== undefined, problem: pair };
  });
  return { keyPairs, states };
}

/** Reads a TLS Secret; a string says what is wrong with it. What Envoy would refuse is found here. */
export function keyPairOf(secret: Secret): KeyPair | string {
  const problem = (what: string): string => `invalid TLS secret ${keyOf(secret)}: ${what}`;
  const [certificate, privateKey] = [secretBytes(secret, 'tls.crt'), secretBytes(secret, 'tls.key')];
  if (!certificate?.length) return problem('tls.crt is missing or empty; use a Secret of type kubernetes.io/tls');
  if (!privateKey?.length) return problem('tls.key is missing or empty; use a Secret of type kubernetes.io/tls');
  const [leaf] = certificatesIn(certificate.toString('latin1')) ?? [];
  if (!leaf) return problem('tls.crt is not a PEM certificate');
  const weakness = weaknessOf(leaf);
  if (weakness !== undefined) return problem(weakness);
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(privateKey))) return problem('tls.key does not belong to the certificate in tls.crt');
  } catch {
    return problem('tls.key is not a PEM private key');
  }
  return { certificate: new SecretBytes(certificate), privateKey: new SecretBytes(privateKey) };
}

const minRsaBits = 2048;
const ellipticCurves = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Keys that Envoy does not take (BoringSSL). */
function weaknessOf({ publicKey }: X509Certificate): string | undefined {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
  if (publicKey.asymmetricKeyType === 'rsa' && (modulusLength ?? 0) < minRsaBits) {
    return `its RSA key has ${modulusLength} bits; use one of at least ${minRsaBits}`;
  }
  if (publicKey.asymmetricKeyType === 'ec' && !ellipticCurves.includes(namedCurve ?? '')) {
    return `its key is on the curve ${namedCurve}; use P-256, P-384 or P-521`;
  }
  return undefined;
}
