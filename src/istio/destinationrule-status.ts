/** What of a DestinationRule has no effect, as a condition: [TrafficRule], [RuleConflict] -> kgateway.dev/Accepted. */
import { describeRef } from '../ir/object-ref.ts';
import type { ConditionsReport } from '../ir/report.ts';
import type { RuleConflict, TrafficRule } from './destinationrule.ts';
import { type PolicyProblem, acceptedReport } from './policy.ts';

/** Of a rule without problems, or that concerns nothing of ours, nothing is said. */
export function ruleStatus(rule: TrafficRule, conflict: RuleConflict | undefined, problems: readonly PolicyProblem[]): ConditionsReport {
  const messages = [...(conflict ? [conflictMessage(conflict)] : []), ...problems.map((p) => `${p.field} ${p.message}`)];
  const reason = conflict ? 'Conflicted' : 'UnsupportedValue';
  return acceptedReport(rule, messages.length > 0 ? { status: 'False', reason, message: messages.join('; ') } : undefined);
}

function conflictMessage({ winner, everywhere }: RuleConflict): string {
  const older = `${describeRef(winner)}, which is older and for the same host`;
  return everywhere
    ? `spec.trafficPolicy has no effect, as that of ${older}, holds; write all settings into one of them`
    : `spec.trafficPolicy has no effect in namespaces that see ${older}; write all settings into one of them, or let exportTo of both name different namespaces`;
}
