/** A cluster whose destination is the address that the connection of a client asks for. */
import type { Cluster } from '../../ir/backend.ts';
import {
  type Cluster as EnvoyCluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
  SocketOption_SocketState as SocketState,
} from '../proto/index.ts';

type Discovery = NonNullable<Cluster['discovery']>;

/** Mark of the packets that ztunnel lets pass as they are. To set it takes the capability NET_ADMIN; without it no connection is made. */
const uncaptured = 0x539;
const SOL_SOCKET = 1;
const SO_MARK = 36;

/**
 * The address that the client dialled. ztunnel would bring a connection from here to such an address back here, for ever, so it has to go around
 * ztunnel, or not at all; `free` says that no ztunnel is in front of the proxy.
 */
export function originalDestination({ port }: Extract<Discovery, { from: 'original-destination' }>, free: boolean): EnvoyCluster {
  return {
    type: DiscoveryType.ORIGINAL_DST,
    lb_policy: LbPolicy.CLUSTER_PROVIDED,
    cleanup_interval: { seconds: 60 },
    ...(port !== undefined && { original_dst_lb_config: { upstream_port_override: { value: port } } }),
    ...(!free && {
      upstream_bind_config: {
        socket_options: [
          { description: 'around ztunnel', level: SOL_SOCKET, name: SO_MARK, int_value: uncaptured, state: SocketState.STATE_PREBIND },
        ],
      },
    }),
  };
}
