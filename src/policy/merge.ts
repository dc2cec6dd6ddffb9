import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import { comparePrecedence, type FieldMerges, type Policy } from './plugin.ts';
import type { Problem } from './problem.ts';

/** What became of a policy at one place: `merged` when it shares the result with others or lost a part of it. */
export type AttachmentState = 'attached' | 'merged' | 'overridden';

export interface PolicyOutcome {
  readonly policy: ObjectRef;
  readonly state: AttachmentState;
}

/** The policies of one place (a route rule, a listener, a Gateway) in one. */
export interface Effective<Fields extends object> {
  readonly policies: Fields;
  /** One for each policy, most specific first, invalid ones left out. */
  readonly outcomes: readonly PolicyOutcome[];
  /** Policies that say what we cannot do: the place must answer 500 rather than serve without them. */
  readonly invalid: readonly { readonly policy: ObjectRef; readonly problems: readonly Problem[] }[];
}

/** The more specific value stands: a field is a unit. */
export function keepHigher(): undefined {
  return undefined;
}

/**
 * Merges the policies of `levels`, most specific level first: a field that is unset so far is taken from the next policy that has it
 * (kgateway: AugmentedShallow), one that is set goes through its row of `merges`. Within a level the order of the input does not matter.
 * A policy that occurs at several levels counts at the most specific one.
 */
export function mergeLevels<Fields extends object>(
  merges: FieldMerges<Fields>,
  levels: readonly (readonly Policy<Fields>[])[],
): Effective<Fields> {
  return mergeEach(levels.map((policies) => ({ policies, merges })));
}

/** Policies of one level, and how they are merged into those before. */
export interface Level<Fields extends object> {
  readonly policies: readonly Policy<Fields>[];
  readonly merges: FieldMerges<Fields>;
}

/** As `mergeLevels`, with a table for each level. */
export function mergeEach<Fields extends object>(levels: readonly Level<Fields>[]): Effective<Fields> {
  const policies = inOrder(levels.map((l) => l.policies));
  const mergesOf = (policy: Policy<Fields>): FieldMerges<Fields> | undefined => levels.find((l) => l.policies.includes(policy))?.merges;
  const fields = Object.keys(levels[0]?.merges ?? {}) as (keyof Fields & string)[];
  const valid = policies.filter((p) => p.problems.length === 0);
  const won = new Set<Policy<Fields>>();
  const lost = new Set<Policy<Fields>>();
  const merged: { -readonly [F in keyof Fields]?: Fields[F] } = {};

  const mergeField = <F extends keyof Fields & string>(field: F): void => {
    for (const policy of valid) {
      const value = policy.fields[field];
      if (value === undefined || value === null) continue;
      const current = merged[field];
      const next = current === undefined || current === null ? value : mergesOf(policy)?.[field](current, value);
      if (next !== undefined) merged[field] = next;
      (next === undefined ? lost : won).add(policy);
    }
  };
  for (const field of fields) mergeField(field);

  const stateOf = (policy: Policy<Fields>): AttachmentState => {
    if (lost.has(policy)) return won.has(policy) ? 'merged' : 'overridden';
    return won.has(policy) && won.size > 1 ? 'merged' : 'attached';
  };
  return {
    // Every field of the IR is optional, as `merges` has rows for optional and required fields alike.
    policies: merged as Fields,
    outcomes: valid.map((policy) => ({ policy: policy.ref, state: stateOf(policy) })),
    invalid: policies.filter((p) => p.problems.length > 0).map((p) => ({ policy: p.ref, problems: p.problems })),
  };
}

/** Level by level, by precedence within each, every policy once. */
function inOrder<Fields extends object>(levels: readonly (readonly Policy<Fields>[])[]): readonly Policy<Fields>[] {
  const seen = new Set<string>();
  return levels
    .flatMap((level) => level.toSorted((a, b) => comparePrecedence(a.precedence, b.precedence)))
    .filter((policy) => {
      const key = refKey(policy.ref);
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
}
