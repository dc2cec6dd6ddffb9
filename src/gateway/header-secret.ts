/** Secrets that headers of TrafficPolicies come from: [TrafficPolicy] -> [ReferenceGrant] -> [Secret]. */
import type { Collection, Ctx } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import type { HeaderSecretRef, SecretLookup } from '../policy/secret-header.ts';
import type { TrafficPolicy } from '../policy/trafficpolicy/schema.ts';
import { type Grants, isGranted } from './referencegrant.ts';

/** The references of a policy. */
export function headerSecretRefs({ spec }: TrafficPolicy): readonly HeaderSecretRef[] {
  const { request, response } = spec?.headerModifiers ?? {};
  return [request, response].flatMap((m) => [...(m?.set ?? []), ...(m?.add ?? [])]).flatMap((h) => h.secretRef ?? []);
}

/** `namespace/name` of a Secret that a policy of `namespace` may read. Nothing else is ever fetched. */
export function readableSecret(ctx: Ctx, grants: Grants, namespace: string, ref: HeaderSecretRef): string | undefined {
  const target = { group: '', kind: 'Secret', namespace: ref.namespace ?? namespace, name: ref.name };
  const from = { group: kgatewayGroup, kind: 'TrafficPolicy', namespace };
  return isGranted(ctx, grants, from, target) ? `${target.namespace}/${target.name}` : undefined;
}

export interface HeaderSecretInputs {
  readonly secrets: Collection<Secret>;
  readonly grants: Grants;
}

/** Finds the Secrets of a policy of `namespace`. */
export function headerSecrets(ctx: Ctx, { secrets, grants }: HeaderSecretInputs, namespace: string): SecretLookup {
  return (ref) => {
    const key = readableSecret(ctx, grants, namespace, ref);
    if (key === undefined) {
      return `reference to Secret ${ref.namespace}/${ref.name} not permitted by ReferenceGrant; create one in namespace ${ref.namespace} from TrafficPolicy in ${namespace}`;
    }
    return ctx.fetchOne(secrets, key) ?? `Secret ${key} not found`;
  };
}
