/**
 * [Authorization] -> RBAC filters: audit, deny, allow, in this order.
 *
 * Over HTTP as policy filters (order.ts): each does nothing until a scope configures it. In a TCP chain as filters of that chain
 * (translate/network-rbac.ts): that is where istioctl looks for them.
 */
import type { ActionRules, Authorization } from '../../ir/authorization.ts';
import { type ConfigListenerFilter, type HttpRbacRBAC, type RBAC, RBAC_Action, any } from '../proto/index.ts';
import type { PolicyFilter } from './order.ts';
import { rbacPolicy } from './rbac-rule.ts';

/** The order of evaluation, with the prefix of the statistics of dry runs, as Istio names them. */
const steps = [
  { action: 'audit', rbac: RBAC_Action.LOG, shadowPrefix: 'istio_dry_run_audit_' },
  { action: 'deny', rbac: RBAC_Action.DENY, shadowPrefix: 'istio_dry_run_deny_' },
  { action: 'allow', rbac: RBAC_Action.ALLOW, shadowPrefix: 'istio_dry_run_allow_' },
] as const;

/** Rules of one action, enforced and shadow: what HTTP and network filters have in common. */
export type RbacRules = Pick<HttpRbacRBAC, 'rules' | 'shadow_rules' | 'shadow_rules_stat_prefix'>;

/** The rules of the actions that have policies. */
export function rbacSteps(authorization: Authorization): readonly RbacRules[] {
  return steps.flatMap(
    ({ action, rbac, shadowPrefix }) => rbacRules(authorization[action], rbac, authorization.identity, shadowPrefix) ?? [],
  );
}

/** Rules of one action; undefined when no policy of it holds. */
export function rbacRules(
  { enforced, dryRun }: ActionRules,
  action: RBAC_Action,
  identity: Authorization['identity'],
  shadowPrefix: string,
): RbacRules | undefined {
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

/** The network filter of rules. */
export function networkRbac(rules: RbacRules = {}): ConfigListenerFilter {
  return {
    name: 'envoy.filters.network.rbac',
    typed_config: any('envoy.extensions.filters.network.rbac.v3.RBAC', { ...rules, stat_prefix: 'tcp.' }),
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
