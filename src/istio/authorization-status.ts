/** [ParsedAuthorization] + which of its targets we serve -> conditions among those that istiod writes. */
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import type { ConditionIntent, ConditionsReport } from '../ir/report.ts';
import type { ParsedAuthorization } from './authorization.ts';
import { acceptedReport, describeProblems } from './policy.ts';

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
  return acceptedReport(policy, served.length > 0 ? condition(policy, served, conflicts) : undefined);
}

function condition(
  { problems, failsClosed, provider }: ParsedAuthorization,
  served: readonly ObjectRef[],
  conflicts: readonly ProviderConflict[],
): Omit<ConditionIntent, 'type'> {
  const targets = served.map((t) => describeRef(t)).join(', ');
  if (problems.length === 0 && conflicts.length > 0) {
    const others = conflicts.map((c) => `${c.provider} of ${describeRef(c.policy)}`).join(', ');
    const message = `what its rules match is denied to ${targets}: a request can be asked about at one provider, here ${provider?.name} and ${others} meet; let all of them name one`;
    return { status: 'False', reason: 'ConflictingProviders', message };
  }
  if (problems.length === 0) return { status: 'True', reason: 'Accepted', message: `holds for ${targets}` };
  const why = describeProblems(problems);
  return {
    status: 'False',
    reason: 'Invalid',
    message: failsClosed ? `until this is corrected, everything is denied to ${targets}: ${why}` : why,
  };
}
