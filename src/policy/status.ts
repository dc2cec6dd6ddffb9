// [Policy] + [where it was attached and how that ended] + [targets that do not exist] -> status.ancestors
import { describeRef, type ObjectRef, refKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import type { ConditionIntent, EntriesReport, EntryReport } from '../ir/report.ts';
import { type ConditionText, maxAncestors, maxMessageLength, policyConditions } from './conditions.ts';
import type { AttachmentState } from './merge.ts';
import type { Policy } from './plugin.ts';
import { describeProblems } from './problem.ts';

/** A policy at one place below one ancestor, as a merge ended. `pending`: the place is not translated yet. */
export interface PolicyAttachment {
  readonly policy: ObjectRef;
  /** The Gateway or ListenerSet. */
  readonly ancestor: ObjectRef;
  readonly state: AttachmentState | 'pending';
}

/** A target by name that cannot be attached to. */
export interface MissingTarget {
  readonly field: string;
  readonly ref: ObjectRef;
  /** `section`: the object exists, but has no listener or rule of that name. */
  readonly missing: 'object' | 'section';
}

/** Targets by name that do not exist. Selectors that select nothing are no error: there is no object to name. */
export function missingTargets(
  policy: Policy<object>,
  existence: (ref: ObjectRef) => 'found' | 'object' | 'section',
): readonly MissingTarget[] {
  return policy.targets.flatMap((target): readonly MissingTarget[] => {
    if (target.by !== 'name') return [];
    const missing = existence(target.ref);
    return missing === 'found' ? [] : [{ field: target.field, ref: target.ref, missing }];
  });
}

/**
 * The status of a policy: one entry for each ancestor, and one for each missing target, so that a policy without effect never looks healthy.
 * At most 16 entries (Gateway API: PolicyStatus); of more, those with something wrong are kept.
 */
export function policyStatus(
  policy: Policy<object>,
  attachments: readonly PolicyAttachment[],
  missing: readonly MissingTarget[],
): EntriesReport {
  const accepted = policy.problems.length === 0;
  const verdict = accepted ? condition(policyConditions.accepted) : condition(policyConditions.invalid, describeProblems(policy.problems));

  const states = new Map<string, { ancestor: ObjectRef; states: Set<PolicyAttachment['state']> }>();
  for (const { ancestor, state } of attachments) {
    const entry = states.get(refKey(ancestor)) ?? { ancestor, states: new Set() };
    entry.states.add(state);
    states.set(refKey(ancestor), entry);
  }
  const entries = new Map<string, Ranked>();
  for (const [key, { ancestor, states: seen }] of states) {
    const attached = condition(accepted ? attachmentCondition(seen) : policyConditions.pending);
    entries.set(key, { key, ref: ancestorRef(ancestor), conditions: [verdict, attached] });
  }
  for (const target of missing) {
    const why = [missingMessage(target), ...(accepted ? [] : [describeProblems(policy.problems)])].join('; ');
    const conditions = [condition(policyConditions.targetNotFound, why), condition(policyConditions.pending)];
    entries.set(refKey(target.ref), { key: refKey(target.ref), ref: ancestorRef(target.ref), conditions });
  }
  return { form: 'ancestors', object: policy.ref, generation: policy.generation, entries: capped([...entries.values()]) };
}

interface Ranked extends EntryReport {
  readonly key: string;
}

function capped(entries: readonly Ranked[]): readonly EntryReport[] {
  const healthy = (e: Ranked): boolean => e.conditions.every((c) => c.status === 'True');
  return entries
    .toSorted((a, b) => Number(healthy(a)) - Number(healthy(b)) || compareText(a.key, b.key))
    .slice(0, maxAncestors)
    .sort((a, b) => compareText(a.key, b.key))
    .map(({ ref, conditions }) => ({ ref, conditions }));
}

/** Over all places below an ancestor: the policy counts as attached or overridden only when it is so everywhere. */
function attachmentCondition(states: ReadonlySet<PolicyAttachment['state']>): ConditionText {
  if (states.size === 1) {
    const [only] = states;
    return policyConditions[only ?? 'pending'];
  }
  const settled = [...states].filter((s) => s !== 'pending');
  return settled.length === 1 ? policyConditions[settled[0] ?? 'pending'] : policyConditions.merged;
}

function missingMessage({ field, ref, missing }: MissingTarget): string {
  const { section, ...object } = ref;
  const target = `${describeRef(object)}${ref.group ? ` (${ref.group})` : ''}`;
  if (missing === 'section') {
    return `${field}: ${target} has no section ${JSON.stringify(section ?? '')}: the policy has no effect there; correct sectionName, or give a listener or rule that name`;
  }
  return `${field}: ${target} not found: the policy has no effect there; create it, or correct group, kind and name (targets are in the namespace of the policy)`;
}

function condition(text: ConditionText, message: string = text.message ?? ''): ConditionIntent {
  return { type: text.type, status: text.status, reason: text.reason, message: message.slice(0, maxMessageLength) };
}

function ancestorRef(ref: ObjectRef): EntryReport['ref'] {
  return {
    group: ref.group,
    kind: ref.kind,
    ...(ref.namespace !== '' && { namespace: ref.namespace }),
    name: ref.name,
    ...(ref.section !== undefined && { sectionName: ref.section }),
  };
}
