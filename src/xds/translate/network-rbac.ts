/** [Authorization] -> filters of a TCP chain, before whatever forwards the connection: asked first, then audit, deny, allow. */
import { type Authorization, type CustomAuthorization, tcpAuthorization } from '../../ir/authorization.ts';
import { networkAuthorization } from '../filters/ext-authz.ts';
import { networkRbac, rbacRules, rbacSteps } from '../filters/rbac.ts';
import { type ConfigListenerFilter, RBAC_Action } from '../proto/index.ts';

/** Network filters for a chain that serves one target only. Where the peer's identity is in filter state, it has to be there before them. */
export function networkRbacFilters(authorization: Authorization): readonly ConfigListenerFilter[] {
  const { custom, ...rest } = tcpAuthorization(authorization);
  return [...(custom?.enforced ? askFilters(custom, authorization.identity) : []), ...rbacSteps(rest).map((rules) => networkRbac(rules))];
}

/** A provider that speaks HTTP cannot be asked about a connection: what it would be asked about is denied. */
function askFilters(custom: CustomAuthorization, identity: Authorization['identity']): readonly ConfigListenerFilter[] {
  if (custom.provider.protocol === 'http') {
    const denied = (custom.enforced ?? []).map((rule) => ({ ...rule, name: `${rule.name}-deny-due-to-bad-CUSTOM-action` }));
    return [networkRbac(rbacRules({ enforced: denied }, RBAC_Action.DENY, identity, ''))];
  }
  return networkAuthorization(custom, identity);
}

/** The cluster that connections are asked about at, if they are. */
export function askedCluster({ custom }: Pick<Authorization, 'custom'>): string | undefined {
  return custom?.enforced ? custom.provider.cluster : undefined;
}
