/** [UdpListener] -> Envoy Listener: datagrams of a client go to one endpoint for as long as it sends some. */
import type { UdpListener } from '../../ir/tcp.ts';
import { type Listener, SocketAddress_Protocol, any, encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { type Binding, socketAddress } from './listener.ts';

/** Translates a UDP listener. */
export function udpListenerResource(listener: UdpListener, binding: Binding): XdsResource {
  const { name, cluster } = listener;
  const route = any('envoy.extensions.filters.udp.udp_proxy.v3.Route', { cluster });
  const message: Listener = {
    name,
    address: { socket_address: { ...socketAddress(binding), protocol: SocketAddress_Protocol.UDP } },
    udp_listener_config: {},
    listener_filters: [
      {
        name: 'envoy.filters.udp_listener.udp_proxy',
        typed_config: any('envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig', {
          stat_prefix: name.replaceAll(/[^\w-]/g, '_'),
          matcher: { on_no_match: { action: { name: 'route', typed_config: route } } },
        }),
      },
    ],
  };
  const bytes = encode('envoy.config.listener.v3.Listener', message);
  return resourceOf(TypeUrl.listener, listener, bytes, [cluster]);
}
