/** Certificates of HTTPS listeners: [certificateRef] -> [ReferenceGrant] -> [Secret of type kubernetes.io/tls] (tls-secret.ts). */
import type { ConditionIntent } from '../ir/report.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { SecretObjectReference } from '../kube/types/gateway-api.ts';
import { listener as condition } from './conditions.ts';
import { type Grants, type GrantSubject, notPermitted, readableKey } from './referencegrant.ts';
import type { SecretState } from './tls-secret.ts';

function namesSecret({ group = '', kind = 'Secret' }: SecretObjectReference): boolean {
  return group === '' && kind === 'Secret';
}

/** `namespace/name` of the Secret of a reference, where the Gateway or ListenerSet may read it. */
export function readableCertificate(ctx: Ctx, grants: Grants, from: GrantSubject, ref: SecretObjectReference): string | undefined {
  return namesSecret(ref) ? readableKey(ctx, grants, from, { ...ref, kind: 'Secret' }) : undefined;
}

export interface CertificateInputs {
  readonly tlsSecrets: Collection<SecretState>;
  readonly grants: Grants;
}

/** Resolves the certificates of a listener: those that can be served, and the condition when one cannot, or is the last valid one of its Secret. */
export function resolveCertificates(
  ctx: Ctx,
  inputs: CertificateInputs,
  from: GrantSubject,
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

function resolveCertificate(ctx: Ctx, inputs: CertificateInputs, from: GrantSubject, ref: SecretObjectReference): ResolvedCertificate {
  if (!namesSecret(ref)) {
    return {
      problem: condition.invalidCertificateRef(`unsupported certificate ref kind ${ref.group || 'core'}/${ref.kind}; use a Secret`),
    };
  }
  const key = readableCertificate(ctx, inputs.grants, from, ref);
  if (key === undefined) {
    const { namespace = from.namespace, name } = ref;
    return { problem: condition.refNotPermitted(`Reference to ${notPermitted(from, { kind: 'Secret', namespace, name })}`) };
  }
  const state = ctx.fetchOne(inputs.tlsSecrets, key);
  if (!state) return { problem: condition.invalidCertificateRef(`Secret ${key} not found.`) };
  if (state.problem === undefined) return { secret: key };
  if (!state.served) return { problem: condition.invalidCertificateRef(state.problem) };
  return { secret: key, problem: condition.invalidCertificateRef(`${state.problem}; the last valid one is served`) };
}
