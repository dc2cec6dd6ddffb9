/** Certificates of HTTPS listeners: [certificateRef] -> [ReferenceGrant] -> [Secret of type kubernetes.io/tls]. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { ConditionIntent } from '../ir/report.ts';
import { SecretBytes } from '../ir/secret-bytes.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import type { SecretObjectReference } from '../kube/types/gateway-api.ts';
import { listener as condition } from './conditions.ts';
import { type Grants, isGranted } from './referencegrant.ts';

/** A certificate chain and its private key, in PEM. */
export interface KeyPair {
  readonly certificate: SecretBytes;
  readonly privateKey: SecretBytes;
}

/** Reads a TLS Secret; a string says what is wrong with it. */
export function keyPairOf(secret: Secret): KeyPair | string {
  const name = `${secret.metadata.namespace}/${secret.metadata.name}`;
  const [certificate, privateKey] = [bytesOf(secret, 'tls.crt'), bytesOf(secret, 'tls.key')];
  if (!certificate) return `invalid TLS secret ${name}: tls.crt is missing or empty; use a Secret of type kubernetes.io/tls`;
  if (!privateKey) return `invalid TLS secret ${name}: tls.key is missing or empty; use a Secret of type kubernetes.io/tls`;
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate);
  } catch {
    return `invalid TLS secret ${name}: tls.crt is not a PEM certificate`;
  }
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(Buffer.from(privateKey)))) {
      return `invalid TLS secret ${name}: tls.key does not belong to the certificate in tls.crt`;
    }
  } catch {
    return `invalid TLS secret ${name}: tls.key is not a PEM private key`;
  }
  return { certificate: new SecretBytes(certificate), privateKey: new SecretBytes(privateKey) };
}

function bytesOf(secret: Secret, key: string): Uint8Array | undefined {
  const text = secret.data?.[key];
  if (text) return Buffer.from(text, 'base64');
  const plain = secret.stringData?.[key];
  return plain ? Buffer.from(plain) : undefined;
}

/** `namespace/name` of the Secret that a reference of a Gateway in `namespace` names. */
export function certificateKey(namespace: string, ref: SecretObjectReference): string {
  return `${ref.namespace ?? namespace}/${ref.name}`;
}

/** The Gateway or ListenerSet that a reference stands in. */
export interface Referrer {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

/** True when the reference names a Secret that its Gateway or ListenerSet may read. Only such Secrets are ever fetched. */
export function mayRead(ctx: Ctx, grants: Grants, from: Referrer, ref: SecretObjectReference): boolean {
  if ((ref.group ?? '') !== '' || (ref.kind ?? 'Secret') !== 'Secret') return false;
  const to = { group: '', kind: 'Secret', namespace: ref.namespace ?? from.namespace, name: ref.name };
  return isGranted(ctx, grants, { group: from.group, kind: from.kind, namespace: from.namespace }, to);
}

/** Resolves the certificates of a listener: those that can be served, and the condition when one cannot. */
export function resolveCertificates(
  ctx: Ctx,
  secrets: Collection<Secret>,
  grants: Grants,
  from: Referrer,
  refs: readonly SecretObjectReference[],
): { readonly secrets: readonly string[]; readonly problem?: ConditionIntent } {
  const usable: string[] = [];
  let problem: ConditionIntent | undefined;
  for (const ref of refs) {
    const resolved = resolveCertificate(ctx, secrets, grants, from, ref);
    if (typeof resolved === 'string') usable.push(resolved);
    else problem ??= resolved;
  }
  return { secrets: usable, ...(problem && { problem }) };
}

function resolveCertificate(
  ctx: Ctx,
  secrets: Collection<Secret>,
  grants: Grants,
  from: Referrer,
  ref: SecretObjectReference,
): string | ConditionIntent {
  if ((ref.group ?? '') !== '' || (ref.kind ?? 'Secret') !== 'Secret') {
    return condition.invalidCertificateRef(`unsupported certificate ref kind ${ref.group || 'core'}/${ref.kind}; use a Secret`);
  }
  const key = certificateKey(from.namespace, ref);
  if (!mayRead(ctx, grants, from, ref)) {
    return condition.refNotPermitted(
      `Reference to Secret ${key} not permitted by ReferenceGrant; create one in namespace ${ref.namespace} from ${from.kind} in ${from.namespace}`,
    );
  }
  const secret = ctx.fetchOne(secrets, key);
  if (!secret) return condition.invalidCertificateRef(`Secret ${key} not found.`);
  const pair = keyPairOf(secret);
  return typeof pair === 'string' ? condition.invalidCertificateRef(pair) : key;
}
