/** Secrets that headers of TrafficPolicies come from: [TrafficPolicy] -> [ReferenceGrant] -> [Secret]. */
import type { Collection, Ctx } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import type { HeaderSecretRef, SecretLookup } from '../policy/secret-header.ts';
import type { TrafficPolicy } from '../policy/trafficpolicy/schema.ts';
import { type Grants, type GrantSubject, notPermitted, readableKey } from './referencegrant.ts';

/** The references of a policy. */
export function headerSecretRefs({ spec }: TrafficPolicy): readonly HeaderSecretRef[] {
  const { request, response } = spec?.headerModifiers ?? {};
  return [request, response].flatMap((m) => [...(m?.set ?? []), ...(m?.add ?? [])]).flatMap((h) => h.secretRef ?? []);
}

/** `namespace/name` of the Secret of a reference, where a policy of `namespace` may read it. */
export function readableSecret(ctx: Ctx, grants: Grants, namespace: string, ref: HeaderSecretRef): string | undefined {
  return readableKey(ctx, grants, subject(namespace), { ...ref, kind: 'Secret' });
}

function subject(namespace: string): GrantSubject {
  return { group: kgatewayGroup, kind: 'TrafficPolicy', namespace };
}

export interface HeaderSecretInputs {
  readonly secrets: Collection<Secret>;
  readonly grants: Grants;
}

/** Finds the Secrets of a policy of `namespace`. */
export function headerSecrets(ctx: Ctx, { secrets, grants }: HeaderSecretInputs, namespace: string): SecretLookup {
  return (ref) => {
    const key = readableSecret(ctx, grants, namespace, ref);
    if (key === undefined) return `reference to ${notPermitted(subject(namespace), { namespace, ...ref, kind: 'Secret' })}`;
    return ctx.fetchOne(secrets, key) ?? `Secret ${key} not found`;
  };
}
