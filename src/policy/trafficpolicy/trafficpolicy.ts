// [TrafficPolicy]* of a rule, a listener or a Gateway -> [RoutePolicies] that hold there.
import type { RoutePolicies } from '../../ir/policy.ts';
import { type Effective, keepHigher, mergeLevels } from '../merge.ts';
import type { FieldMerges, Policy, PolicyKind } from '../plugin.ts';
import { parseTrafficPolicy } from './parse.ts';
import { type TrafficPolicy, trafficPolicyCrd } from './schema.ts';

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

/** The kind TrafficPolicy. */
export const trafficPolicyKind: PolicyKind<TrafficPolicy, RoutePolicies> = {
  resource: trafficPolicyCrd,
  parse: parseTrafficPolicy,
  merge: routePolicyMerges,
};

/** A TrafficPolicy, parsed. */
export type AttachedPolicy = Policy<RoutePolicies>;

/** The policies of `levels`, most specific first, in one. */
export function effectivePolicies(levels: readonly (readonly AttachedPolicy[])[]): Effective<RoutePolicies> {
  return mergeLevels(routePolicyMerges, levels);
}

/**
 * What a rule says itself (HTTPRoute timeouts, retry, CORS filter) and what policies say, in one: the rule comes first, field by field, as it
 * is more specific than any policy of its route.
 */
export function withOwnPolicies(own: RoutePolicies, policies: RoutePolicies): RoutePolicies {
  return { ...policies, ...own };
}
