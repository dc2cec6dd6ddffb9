/** [ParsedAuthorization] + which of its targets we serve -> conditions among those that istiod writes. */
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import type { ConditionsReport } from '../ir/report.ts';
import type { ParsedAuthorization } from './authorization.ts';

/** Ours alone: the types of istiod's conditions have no prefix. */
export const acceptedCondition = 'kgateway.dev/Accepted';

/** A policy of action CUSTOM that asks another provider about the same requests. */
export interface ProviderConflict {
  readonly policy: ObjectRef;
  readonly provider: string;
}

/** Whether the policy holds as written. Of a policy that concerns nothing of ours, nothing is said. */
export function authorizationStatus(
  policy: ParsedAuthorization,
  served: readonly ObjectRef[],
  conflicts: readonly ProviderConflict[] = [],
): ConditionsReport {
  return {
    form: 'conditions',
    object: policy.ref,
    generation: policy.generation,
    owned: [acceptedCondition],
    conditions: served.length > 0 ? [condition(policy, served, conflicts)] : [],
  };
}

function condition(
  { problems, failsClosed, provider }: ParsedAuthorization,
  served: readonly ObjectRef[],
  conflicts: readonly ProviderConflict[],
): ConditionsReport['conditions'][number] {
  const type = acceptedCondition;
  const targets = served.map((t) => describeRef(t)).join(', ');
  if (problems.length === 0 && conflicts.length > 0) {
    const others = conflicts.map((c) => `${c.provider} of ${describeRef(c.policy)}`).join(', ');
    const message = `what its rules match is denied to ${targets}: a request can be asked about at one provider, here ${provider?.name} and ${others} meet; let all of them name one`;
    return { type, status: 'False', reason: 'ConflictingProviders', message };
  }
  if (problems.length === 0) return { type, status: 'True', reason: 'Accepted', message: `holds for ${targets}` };
  const why = problems.map((p) => `${p.field}: ${p.message}`).join('; ');
  return {
    type,
    status: 'False',
    reason: 'Invalid',
    message: failsClosed ? `until this is corrected, everything is denied to ${targets}: ${why}` : why,
  };
}
