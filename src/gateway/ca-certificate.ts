/** CA bundles: [caCertificateRef] -> [ReferenceGrant] -> [ConfigMap or Secret with ca.crt] -> PEM. */
import type { Collection, Ctx } from '../krt/index.ts';
import type { ConfigMap, Secret } from '../kube/types/core.ts';
import { secretText } from '../kube/types/secret.ts';
import { certificatesIn } from './pem.ts';
import { type Grants, type GrantSubject, notPermitted, readableKey } from './referencegrant.ts';

/** Reference to a CA bundle, of a Gateway or of a BackendTLSPolicy. */
export interface CaRef {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface CaInputs {
  readonly configMaps: Collection<ConfigMap>;
  readonly secrets: Collection<Secret>;
  readonly grants: Grants;
}

/** Why a reference cannot be used. */
export interface CaProblem {
  readonly reason: 'kind' | 'not permitted' | 'invalid';
  readonly message: string;
}

export interface CaBundle {
  /** PEM of all usable references; empty when there is none. */
  readonly pem: string;
  readonly problems: readonly CaProblem[];
}

/** `ConfigMap` or `Secret` when the reference is of such a kind. */
export function caKind(ref: CaRef): 'ConfigMap' | 'Secret' | undefined {
  if ((ref.group ?? '') !== '') return undefined;
  return ref.kind === 'ConfigMap' || ref.kind === 'Secret' ? ref.kind : undefined;
}

/** Resolves the references of `from`; `field` names them in messages. */
export function resolveCaBundle(ctx: Ctx, inputs: CaInputs, from: GrantSubject, refs: readonly CaRef[], field: string): CaBundle {
  const resolved = refs.map((ref, i) => resolve(ctx, inputs, from, ref, `${field}[${i}]`));
  return {
    pem: [...new Set(resolved.filter((r) => typeof r === 'string'))].join(''),
    problems: resolved.filter((r) => typeof r !== 'string'),
  };
}

function resolve(ctx: Ctx, inputs: CaInputs, from: GrantSubject, ref: CaRef, field: string): string | CaProblem {
  const kind = caKind(ref);
  if (!kind) return { reason: 'kind', message: `${field}: kind ${ref.group || 'core'}/${ref.kind} is not supported; use a ConfigMap` };
  const key = readableKey(ctx, inputs.grants, from, { ...ref, kind });
  if (key === undefined) {
    const { namespace = from.namespace, name } = ref;
    return { reason: 'not permitted', message: `${field}: reference to ${notPermitted(from, { kind, namespace, name })}` };
  }
  const text = kind === 'ConfigMap' ? ofConfigMap(ctx.fetchOne(inputs.configMaps, key)) : ofSecret(ctx.fetchOne(inputs.secrets, key));
  const invalid = (why: string): CaProblem => ({ reason: 'invalid', message: `${field}: ${kind} ${key} ${why}` });
  if (text === undefined) return invalid('not found');
  // In one form, without the comments between them.
  const pem = certificatesIn(text)?.map(String).join('');
  return pem ?? invalid('has no PEM certificates in ca.crt');
}

/** Empty without the key. */
function ofConfigMap(object: ConfigMap | undefined): string | undefined {
  return object && (object.data?.['ca.crt'] ?? Buffer.from(object.binaryData?.['ca.crt'] ?? '', 'base64').toString());
}

function ofSecret(object: Secret | undefined): string | undefined {
  return object && (secretText(object, 'ca.crt') ?? '');
}
