// [TrafficPolicy]* of a rule, a listener or a Gateway -> [RoutePolicies] that hold there.
import type { RoutePolicies } from '../../ir/policy.ts';
import { type ParentTier, type Tier, mergeInherited } from '../inheritance.ts';
import { type Effective, keepHigher, mergeLevels } from '../merge.ts';
import type { FieldMerges, Policy } from '../plugin.ts';
import { mergeTransformations } from './deep-merge.ts';

/** How each field of the effective policies is merged. A new field of RoutePolicies needs its row here before anything compiles. */
export const routePolicyMerges: FieldMerges<RoutePolicies> = {
  timeouts: keepHigher,
  retry: keepHigher,
  headers: keepHigher,
  cors: keepHigher,
  localRateLimit: keepHigher,
  buffer: keepHigher,
  transformation: keepHigher,
};

/** The same where a delegation asks for a deep merge: parts of a field from several policies, where parts can stand alone. */
const deepMerges: FieldMerges<RoutePolicies> = { ...routePolicyMerges, transformation: mergeTransformations };

/** The policies of `levels`, most specific first, in one. */
export function effectivePolicies(levels: readonly (readonly Policy<RoutePolicies>[])[]): Effective<RoutePolicies> {
  return mergeLevels(routePolicyMerges, levels);
}

/** What holds for a rule that others delegate to; see `mergeInherited`. */
export function inheritedPolicies(
  child: Tier<RoutePolicies>,
  parents: readonly ParentTier<RoutePolicies>[],
  below: readonly (readonly Policy<RoutePolicies>[])[],
): Effective<RoutePolicies> {
  return mergeInherited({ shallow: routePolicyMerges, deep: deepMerges }, child, parents, below);
}

/**
 * What a rule says itself (HTTPRoute timeouts, retry, CORS filter) and what policies say, in one: the rule comes first, field by field, as it
 * is more specific than any policy of its route.
 */
export function withOwnPolicies(own: RoutePolicies, policies: RoutePolicies): RoutePolicies {
  return { ...policies, ...own };
}
