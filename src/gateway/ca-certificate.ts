/** CA bundles: [caCertificateRef] -> [ReferenceGrant] -> [ConfigMap or Secret with ca.crt] -> PEM. */
import type { Collection, Ctx } from '../krt/index.ts';
import type { ConfigMap, Secret } from '../kube/types/core.ts';
import { secretText } from '../kube/types/secret.ts';
import { certificatesIn } from './pem.ts';
import { type Grants, type GrantSubject, isGranted } from './referencegrant.ts';

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

/** `namespace/name` of what a reference names, when its owner may read it. Nothing else is ever fetched. */
export function readableCa(ctx: Ctx, grants: Grants, from: GrantSubject, ref: CaRef): string | undefined {
  const kind = caKind(ref);
  const namespace = ref.namespace ?? from.namespace;
  if (!kind || !isGranted(ctx, grants, from, { group: '', kind, namespace, name: ref.name })) return undefined;
  return `${namespace}/${ref.name}`;
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
  const key = readableCa(ctx, inputs.grants, from, ref);
  if (key === undefined) {
    const message = `${field}: reference to ${kind} ${ref.namespace}/${ref.name} not permitted by ReferenceGrant; create one in namespace ${ref.namespace} from ${from.kind} in ${from.namespace}`;
    return { reason: 'not permitted', message };
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
