/** [Authorization] -> filters of a TCP chain, before whatever forwards the connection: asked first, then audit, deny, allow. */
import { type Authorization, type CustomAuthorization, tcpAuthorization } from '../../ir/authorization.ts';
import { networkAuthorization } from '../filters/ext-authz.ts';
import { rbacRules, rbacSteps } from '../filters/rbac.ts';
import { type ConfigListenerFilter, type NetworkRbacRBAC, RBAC_Action, any } from '../proto/index.ts';

/**
 * Network filters for a chain that serves one target only. The peer's identity has to be in filter state before them, so a waypoint puts
 * set_filter_state in front.
 */
export function networkRbacFilters(authorization: Authorization): readonly ConfigListenerFilter[] {
  const { custom, ...rest } = tcpAuthorization(authorization);
  return [
    ...(custom?.enforced ? askFilters(custom, authorization.identity) : []),
    ...rbacSteps(rest).map(({ rules }) => networkRbac(rules)),
  ];
}

/** A provider that speaks HTTP cannot be asked about a connection: what it would be asked about is denied. */
function askFilters(custom: CustomAuthorization, identity: Authorization['identity']): readonly ConfigListenerFilter[] {
  if (custom.provider.protocol === 'http') {
    const denied = (custom.enforced ?? []).map((rule) => ({ ...rule, name: `${rule.name}-deny-due-to-bad-CUSTOM-action` }));
    return [networkRbac(rbacRules({ enforced: denied }, RBAC_Action.DENY, identity, '') ?? {})];
  }
  const { note, ask } = networkAuthorization(custom, identity);
  return [
    { name: 'envoy.filters.network.rbac', typed_config: note },
    { name: 'envoy.filters.network.ext_authz', typed_config: ask },
  ];
}

function networkRbac(rules: Omit<NetworkRbacRBAC, 'stat_prefix'>): ConfigListenerFilter {
  return {
    name: 'envoy.filters.network.rbac',
    typed_config: any('envoy.extensions.filters.network.rbac.v3.RBAC', { ...rules, stat_prefix: 'tcp.' }),
  };
}

/** The cluster that connections are asked about at, if they are. */
export function askedCluster({ custom }: Pick<Authorization, 'custom'>): string | undefined {
  return custom?.enforced ? custom.provider.cluster : undefined;
}
