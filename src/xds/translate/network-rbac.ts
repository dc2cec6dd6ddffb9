/** [Authorization] -> RBAC filters of a TCP chain, before whatever forwards the connection. */
import { type Authorization, tcpAuthorization } from '../../ir/authorization.ts';
import { rbacSteps } from '../filters/rbac.ts';
import { type ConfigListenerFilter, any } from '../proto/index.ts';

/**
 * Network filters for a chain that serves one target only. The peer's identity has to be in filter state before them, so a waypoint puts
 * set_filter_state in front.
 */
export function networkRbacFilters(authorization: Authorization): readonly ConfigListenerFilter[] {
  return rbacSteps(tcpAuthorization(authorization)).map(({ rules }) => ({
    name: 'envoy.filters.network.rbac',
    typed_config: any('envoy.extensions.filters.network.rbac.v3.RBAC', { ...rules, stat_prefix: 'tcp.' }),
  }));
}
