// Policies along a delegation: [Tier of the child's rule] + [Tier of each rule above it, with its priority] -> levels in the order that counts
//   PreferChild:  child, parent, its parent         PreferParent:  its parent, parent, child
// Shallow: a field is a unit. Deep: the parts of a field are, for kinds whose merge table says how.
import type { ObjectRef } from '../ir/object-ref.ts';
import { type Effective, type Level, mergeEach } from './merge.ts';
import type { FieldMerges, Policy } from './plugin.ts';

/** On a parent: how its policies and those of its children come together. */
export const inheritedPriorityAnnotation = 'kgateway.dev/inherited-policy-priority';

const priorities = ['ShallowMergePreferChild', 'ShallowMergePreferParent', 'DeepMergePreferChild', 'DeepMergePreferParent'] as const;

export type InheritedPriority = (typeof priorities)[number];

/** Reads the annotation; what is missing or unknown is the default, `ShallowMergePreferChild`. */
export function inheritedPriorityOf(text: string | undefined): InheritedPriority {
  return priorities.find((p) => p === text) ?? 'ShallowMergePreferChild';
}

/** True when a parent of that priority overrides its children. */
export function prefersParent(priority: InheritedPriority): boolean {
  return priority.endsWith('PreferParent');
}

/** What holds for one rule of a delegation: what the rule says itself, and the policies of it and its route, most specific first. */
export interface Tier<Fields extends object> {
  readonly rule: ObjectRef;
  readonly own: Fields;
  readonly levels: readonly (readonly Policy<Fields>[])[];
}

/** A rule above, with the annotation of its route. */
export interface ParentTier<Fields extends object> extends Tier<Fields> {
  readonly priority: InheritedPriority;
}

/**
 * Merges a delegation. `parents` begins with the nearest; `below` are the levels of listener and Gateway, which come last in any case.
 * Outcomes tell of policies alone; the fields are those of the rules themselves too.
 */
export function mergeInherited<Fields extends object>(
  merges: { readonly shallow: FieldMerges<Fields>; readonly deep: FieldMerges<Fields> },
  child: Tier<Fields>,
  parents: readonly ParentTier<Fields>[],
  below: readonly (readonly Policy<Fields>[])[],
): Effective<Fields> {
  let ordered: readonly { readonly tier: Tier<Fields>; readonly deep: boolean }[] = [{ tier: child, deep: false }];
  for (const tier of parents) {
    const deep = tier.priority.startsWith('Deep');
    // What is merged deeply is the lower of the two: the parent, or everything below a parent that is preferred.
    ordered = prefersParent(tier.priority)
      ? [{ tier, deep: false }, ...ordered.map((o) => (deep ? { ...o, deep } : o))]
      : [...ordered, { tier, deep }];
  }
  const levels = (withRules: boolean): readonly Level<Fields>[] => [
    ...ordered.flatMap(({ tier, deep }) =>
      [...(withRules ? [[asPolicy(tier)]] : []), ...tier.levels].map((policies) => ({
        policies,
        merges: deep ? merges.deep : merges.shallow,
      })),
    ),
    ...below.map((policies) => ({ policies, merges: merges.shallow })),
  ];
  const ofPolicies = mergeEach(levels(false));
  return { ...ofPolicies, policies: mergeEach(levels(true)).policies };
}

/** What a rule says itself, in the form of a policy that is more specific than any attached one. */
function asPolicy<Fields extends object>({ rule, own }: Tier<Fields>): Policy<Fields> {
  return { ref: rule, generation: 0, precedence: { weight: 0, created: '', key: '' }, targets: [], fields: own, problems: [] };
}
