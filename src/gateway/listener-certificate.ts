/** Certificates of HTTPS listeners: [certificateRef] -> [ReferenceGrant] -> [Secret of type kubernetes.io/tls] (tls-secret.ts). */
import type { ConditionIntent } from '../ir/report.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { SecretObjectReference } from '../kube/types/gateway-api.ts';
import { listener as condition } from './conditions.ts';
import { type Grants, isGranted } from './referencegrant.ts';
import type { SecretState } from './tls-secret.ts';

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

export interface CertificateInputs {
  readonly tlsSecrets: Collection<SecretState>;
  readonly grants: Grants;
}

/** Resolves the certificates of a listener: those that can be served, and the condition when one cannot, or is the last valid one of its Secret. */
export function resolveCertificates(
  ctx: Ctx,
  inputs: CertificateInputs,
  from: Referrer,
  refs: readonly SecretObjectReference[],
): { readonly secrets: readonly string[]; readonly problem?: ConditionIntent } {
  const resolved = refs.map((ref) => resolveCertificate(ctx, inputs, from, ref));
  const problem = resolved.find((r) => r.problem)?.problem;
  return { secrets: resolved.flatMap((r) => r.secret ?? []), ...(problem && { problem }) };
}

interface ResolvedCertificate {
  readonly secret?: string;
  readonly problem?: ConditionIntent;
}

function resolveCertificate(ctx: Ctx, inputs: CertificateInputs, from: Referrer, ref: SecretObjectReference): ResolvedCertificate {
  if ((ref.group ?? '') !== '' || (ref.kind ?? 'Secret') !== 'Secret') {
    return {
      problem: condition.invalidCertificateRef(`unsupported certificate ref kind ${ref.group || 'core'}/${ref.kind}; use a Secret`),
    };
  }
  const key = certificateKey(from.namespace, ref);
  if (!mayRead(ctx, inputs.grants, from, ref)) {
    const why = `Reference to Secret ${key} not permitted by ReferenceGrant; create one in namespace ${ref.namespace} from ${from.kind} in ${from.namespace}`;
    return { problem: condition.refNotPermitted(why) };
  }
  const state = ctx.fetchOne(inputs.tlsSecrets, key);
  if (!state) return { problem: condition.invalidCertificateRef(`Secret ${key} not found.`) };
  if (state.problem === undefined) return { secret: key };
  if (!state.served) return { problem: condition.invalidCertificateRef(state.problem) };
  return { secret: key, problem: condition.invalidCertificateRef(`${state.problem}; the last valid one is served`) };
}
