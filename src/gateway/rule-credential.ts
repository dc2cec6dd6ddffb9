/**
 * Secrets that TLS settings of DestinationRules name. Source: Istio, ClientTLSSettings.credentialName.
 *
 *   [DestinationRule] credentialName -> [ReferenceGrant] -> [Secret] in the namespace of the waypoint ─┬─> key pair, by SDS
 *                                                     and, if there is one, `<name>-cacert` beside it ─┴─> CAs, with what they revoked
 */
import 'reflect-metadata';
import { X509Crl } from '@peculiar/x509';
import type { KeyPair } from '../ir/listener.ts';
import type { Ctx } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import type { DestinationRule } from '../kube/types/istio-networking.ts';
import { keyOf } from '../kube/types/meta.ts';
import { secretText } from '../kube/types/secret.ts';
import { certificatesIn } from './pem.ts';
import { type GrantSubject, type Grants, readableKey } from './referencegrant.ts';
import { keyPairOf } from './tls-secret.ts';

/** The names of Secrets that a rule refers to. */
export function credentialNames({ spec }: DestinationRule): readonly string[] {
  const { portLevelSettings = [], tls } = spec.trafficPolicy ?? {};
  const all = [tls, ...portLevelSettings.map((p) => p.tls)];
  return [...new Set(all.flatMap((t) => (t?.mode === 'SIMPLE' || t?.mode === 'MUTUAL' ? (t.credentialName ?? []) : [])))];
}

/** Name of the Secret beside it that may hold its CAs. */
export function caSecretOf(name: string): string {
  return `${name}-cacert`;
}

/** `namespace/name` of a Secret that a rule of `namespace` may have the waypoints of `waypoint`, a namespace, use. Nothing else is ever fetched. */
export function readableCredential(ctx: Ctx, grants: Grants, namespace: string, waypoint: string, name: string): string | undefined {
  return readableKey(ctx, grants, ruleSubject(namespace), { kind: 'Secret', namespace: waypoint, name });
}

/** A DestinationRule of a namespace, as ReferenceGrants name it. */
export function ruleSubject(namespace: string): GrantSubject {
  return { group: 'networking.istio.io', kind: 'DestinationRule', namespace };
}

/** The key pair of a Secret, under `tls.crt` and `tls.key` or under `cert` and `key`; a string says what is wrong with it. */
export function credentialPair(secret: Secret): KeyPair | string {
  const [certificate, key] = [secret.data?.['cert'], secret.data?.['key']];
  return keyPairOf(certificate && key ? { ...secret, data: { 'tls.crt': certificate, 'tls.key': key } } : secret);
}

/** The CAs of a Secret, under `cacert` or `ca.crt`, with the `crl` or `ca.crl` beside them; a string says what is wrong with them. */
export function credentialCa(secret: Secret): { readonly pem: string; readonly crl?: string } | string {
  const generic = secretText(secret, 'cacert');
  const pem = certificatesIn(generic ?? secretText(secret, 'ca.crt') ?? '')
    ?.map(String)
    .join('');
  if (pem === undefined) return `Secret ${keyOf(secret)} has no PEM certificates in ca.crt or cacert`;
  const crl = secretText(secret, generic === undefined ? 'ca.crl' : 'crl');
  if (!crl) return { pem };
  if (!isRevocationList(crl))
    return `Secret ${keyOf(secret)} has no PEM certificate revocation list in ${generic === undefined ? 'ca.crl' : 'crl'}`;
  return { pem, crl };
}

function isRevocationList(text: string): boolean {
  const blocks = text.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? [];
  try {
    return blocks.length > 0 && blocks.every((block) => new X509Crl(block).rawData.byteLength > 0);
  } catch {
    return false;
  }
}
