/** What of a DestinationRule has no effect, as a condition: [TrafficRule], [RuleConflict] -> kgateway.dev/Accepted. */
import { describeRef } from '../ir/object-ref.ts';
import type { ConditionsReport } from '../ir/report.ts';
import { acceptedCondition } from './policy.ts';
import type { RuleConflict, TrafficRule } from './destinationrule.ts';
import type { SettingProblem } from './traffic-tls.ts';

/** Of a rule without problems, or that concerns nothing of ours, nothing is said. */
export function ruleStatus(
  { ref, generation }: TrafficRule,
  conflict: RuleConflict | undefined,
  problems: readonly SettingProblem[],
): ConditionsReport {
  const messages = [...(conflict ? [conflictMessage(conflict)] : []), ...problems.map((p) => `${p.field} ${p.message}`)];
  const reason = conflict ? 'Conflicted' : 'UnsupportedValue';
  return {
    form: 'conditions',
    object: ref,
    generation,
    owned: [acceptedCondition],
    conditions: messages.length > 0 ? [{ type: acceptedCondition, status: 'False', reason, message: messages.join('; ') }] : [],
  };
}

function conflictMessage({ winner, everywhere }: RuleConflict): string {
  const older = `${describeRef(winner)}, which is older and for the same host`;
  return everywhere
    ? `spec.trafficPolicy has no effect, as that of ${older}, holds; write all settings into one of them`
    : `spec.trafficPolicy has no effect in namespaces that see ${older}; write all settings into one of them, or let exportTo of both name different namespaces`;
}
