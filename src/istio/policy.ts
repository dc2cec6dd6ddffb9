/**
 * What the policies of Istio that hold here have in common.
 *
 *   [policy] -> PolicyObject and its fields -> what holds at a place, oldest first; one condition of ours, beside those of istiod
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { ConditionIntent, ConditionsReport } from '../ir/report.ts';
import type { ObjectMeta } from '../kube/types/meta.ts';

/** What is wrong with a policy: the field as a user writes it, and what to do. */
export interface PolicyProblem {
  readonly field: string;
  readonly message: string;
}

/** Which object a policy is, and since when. */
export interface PolicyObject {
  readonly ref: ObjectRef;
  readonly generation: number;
  readonly created: string;
}

/** The object of a policy. */
export function policyObject(group: string, kind: string, metadata: ObjectMeta): PolicyObject {
  const { namespace = '', name, generation = 0, creationTimestamp = '' } = metadata;
  return { ref: { group, kind, namespace, name }, generation, created: creationTimestamp };
}

/** Policies of one kind, each once, the oldest first. */
export function oldestFirst<P extends PolicyObject>(policies: readonly P[]): readonly P[] {
  return [...new Map(policies.map((p) => [`${p.ref.namespace}/${p.ref.name}`, p])).values()].sort(
    (a, b) => compareText(a.created, b.created) || compareText(a.ref.namespace, b.ref.namespace) || compareText(a.ref.name, b.ref.name),
  );
}

/** Ours alone: the types of istiod's conditions have no prefix. */
export const acceptedCondition = 'kgateway.dev/Accepted';

/** Says whether a policy holds as it is written. Undefined: nothing is said, as of one that concerns nothing of ours. */
export function acceptedReport(
  { ref, generation }: Pick<PolicyObject, 'ref' | 'generation'>,
  condition: Omit<ConditionIntent, 'type'> | undefined,
): ConditionsReport {
  const type = acceptedCondition;
  return { form: 'conditions', object: ref, generation, owned: [type], conditions: condition ? [{ type, ...condition }] : [] };
}

/** Problems as the message of a condition. */
export function describeProblems(problems: readonly PolicyProblem[]): string {
  return problems.map((p) => `${p.field}: ${p.message}`).join('; ');
}
