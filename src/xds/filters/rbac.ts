/**
 * [Authorization] -> RBAC filters over HTTP: audit, deny, allow, in this order.
 *
 * On routes as policy filters (order.ts): each does nothing until a route configures it. In a chain of its own, as a waypoint has for every
 * port of a Service, as filters of that chain: that is where istioctl looks for them.
 */
import type { ActionRules, Authorization } from '../../ir/authorization.ts';
import { type HttpRbacRBAC, type RBAC, RBAC_Action, any } from '../proto/index.ts';
import type { PolicyFilter } from './order.ts';
import { rbacPolicy } from './rbac-rule.ts';

/** The order of evaluation, with the prefix of the statistics of dry runs, as Istio names them. */
const steps = [
  { action: 'audit', rbac: RBAC_Action.LOG, shadowPrefix: 'istio_dry_run_audit_' },
  { action: 'deny', rbac: RBAC_Action.DENY, shadowPrefix: 'istio_dry_run_deny_' },
  { action: 'allow', rbac: RBAC_Action.ALLOW, shadowPrefix: 'istio_dry_run_allow_' },
] as const;

/** RBAC of one step: what HTTP and network filters have in common. Undefined when no policy of the action holds. */
export interface RbacStep {
  readonly action: (typeof steps)[number]['action'];
  readonly rules: Pick<HttpRbacRBAC, 'rules' | 'shadow_rules' | 'shadow_rules_stat_prefix'>;
}

/** The steps that have policies. */
export function rbacSteps(authorization: Authorization): readonly RbacStep[] {
  return steps.flatMap(({ action, rbac, shadowPrefix }) => {
    const rules = rbacRules(authorization[action], rbac, authorization.identity, shadowPrefix);
    return rules ? [{ action, rules }] : [];
  });
}

/** Rules of one action, enforced and shadow. */
export function rbacRules(
  { enforced, dryRun }: ActionRules,
  action: RBAC_Action,
  identity: Authorization['identity'],
  shadowPrefix: string,
): RbacStep['rules'] | undefined {
  if (!enforced && !dryRun) return undefined;
  const rbac = (rules: NonNullable<ActionRules['enforced']>): RBAC => ({
    action,
    policies: Object.fromEntries(rules.map((rule) => [rule.name, rbacPolicy(rule, identity)])),
  });
  return {
    ...(enforced && { rules: rbac(enforced) }),
    ...(dryRun && { shadow_rules: rbac(dryRun), shadow_rules_stat_prefix: shadowPrefix }),
  };
}

/** The same as policy filters: each with a name of its own, as a route configures filters by name. */
export const rbacFilters: readonly PolicyFilter[] = steps.map(({ action, rbac, shadowPrefix }) => ({
  name: `kgateway.rbac.${action}`,
  // Statistics are those of the filter in the chain, so the prefix for dry runs has to be there too.
  chain: any('envoy.extensions.filters.http.rbac.v3.RBAC', { shadow_rules_stat_prefix: shadowPrefix }),
  forScope: ({ authorization }) => {
    const rules = authorization && rbacRules(authorization[action], rbac, authorization.identity, shadowPrefix);
    return rules && any('envoy.extensions.filters.http.rbac.v3.RBACPerRoute', { rbac: rules });
  },
}));
