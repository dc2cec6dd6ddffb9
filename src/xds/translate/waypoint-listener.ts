/**
 * [WaypointListener] -> Envoy Listener, for the sandwich: the ztunnel of the Pod terminates HBONE and passes each stream on over loopback,
 * with a PROXY header (version 2) that says what address was asked for, and by whom.
 *
 * On loopback and nowhere else: whoever reaches this port is believed about its identity.
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import type { WaypointListener } from '../../ir/waypoint.ts';
import { type Listener, ProxyProtocolConfig_Version as ProxyProtocolVersion, any, encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { hboneResources } from './hbone-listener.ts';
import { type Binding, perConnectionBuffer } from './listener.ts';
import { type ClientIdentity, clustersOfChains, waypointChains } from './waypoint-chains.ts';
import { detectListenerResources } from './waypoint-detect.ts';
import { tlsListenerResources } from './waypoint-tcp.ts';
import { workloadClusters } from './waypoint-workloads.ts';

/** Type of the TLV with the SPIFFE identity of the client, as ztunnel sends it. */
const principalTlv = 0xd0;

/**
 * Translates the listener of a waypoint, or those of HBONE, and those behind it that read server names and find out protocols. `identity` is the folder
 * of its certificate.
 */
export function waypointListenerResources(listener: WaypointListener, binding: Binding, identity: string): readonly XdsResource[] {
  const entrance = listener.hbone ? hboneResources(listener, binding, identity) : [sandwichResource(listener, binding)];
  return [...entrance, ...tlsListenerResources(listener), ...detectListenerResources(listener), ...workloadClusters(listener)];
}

/** A binding of `::` stands for both loopback addresses; without a cluster it is an address of its own. */
function sandwichResource(listener: WaypointListener, binding: Binding): XdsResource {
  const inPod = binding.address === '::';
  const socket = (address: string) => ({ socket_address: { address, port_value: binding.port } });
  const message: Listener = {
    name: 'waypoint',
    address: socket(inPod ? '127.0.0.1' : binding.address),
    // Where a Pod has no IPv6, the address cannot be assigned, and without freebind the whole listener would be refused.
    ...(inPod && { additional_addresses: [{ address: socket('::1') }], freebind: { value: true } }),
    listener_filters: [proxyProtocol],
    ...waypointChains(listener, identityOfHeader),
    per_connection_buffer_limit_bytes: perConnectionBuffer,
  };
  const bytes = encode('envoy.config.listener.v3.Listener', message);
  return resourceOf(TypeUrl.listener, { ...listener, name: 'waypoint' }, bytes, clustersOfChains(listener));
}

const proxyProtocol = {
  name: 'envoy.filters.listener.proxy_protocol',
  typed_config: any('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol', {
    stat_prefix: 'waypoint',
    disallowed_versions: [ProxyProtocolVersion.V1],
    rules: [{ tlv_type: principalTlv, on_tlv_present: { key: 'peer_principal' } }],
  }),
};

const source = '%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:peer_principal)%';

/** Absent for a client without one. */
const identityOfHeader: ClientIdentity = {
  filters: [
    {
      name: 'kgateway.client_identity',
      typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
        on_new_connection: [
          {
            object_key: peerPrincipalState,
            factory_key: 'envoy.string',
            format_string: { text_format_source: { inline_string: source }, omit_empty_values: true },
            skip_if_empty: true,
          },
        ],
      }),
    },
  ],
  source,
};
