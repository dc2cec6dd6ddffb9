/**
 * From one listener of a proxy to another within it.
 *
 *   connection ─> filter state that passes over ─> internal cluster ─> internal listener, which finds the addresses of the connection there again
 *
 * What passes over has to hash (Envoy hashes addresses, and `envoy.hashable_string`): Envoy pools connections by it, and what does not hash would let
 * two clients share one, and one of them the other's identity.
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import {
  type Address,
  type Cluster,
  type ConfigListenerFilter,
  Cluster_DiscoveryType as DiscoveryType,
  type FilterStateValue,
  FilterStateValue_SharedWithUpstream as SharedWithUpstream,
  type Listener,
  type ListenerFilter,
  type TransportSocket,
  any,
} from '../proto/index.ts';
import { noLimits } from './values.ts';
import type { ClientIdentity } from './waypoint-chains.ts';

/** Restores the addresses that an inner connection is for, and from. */
const originalDestination = {
  name: 'envoy.filters.listener.original_dst',
  typed_config: any('envoy.extensions.filters.listener.original_dst.v3.OriginalDst', {}),
};

/** Where that filter reads them: the address that was asked for, and the client's. */
export const destinationState = 'envoy.filters.listener.original_dst.local_ip';
export const clientState = 'envoy.filters.listener.original_dst.remote_ip';

export const rawBuffer: TransportSocket = {
  name: 'envoy.transport_sockets.raw_buffer',
  typed_config: any('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer', {}),
};

/** Of clusters that lead to an internal listener: takes filter state along. */
export const internalTransport: TransportSocket = {
  name: 'envoy.transport_sockets.internal_upstream',
  typed_config: any('envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport', { transport_socket: rawBuffer }),
};

/** What internal listeners have in common; `filters` come behind ours. Connections count once, where they come into the proxy. */
export function internalListener(name: string, ...filters: readonly ListenerFilter[]): Listener & { readonly name: string } {
  return { name, internal_listener: {}, ignore_global_conn_limit: true, listener_filters: [originalDestination, ...filters] };
}

/** The address of an internal listener. `id` tells endpoints apart. */
export function internalAddress(listener: string, id: string): Address {
  return { envoy_internal_address: { server_listener_name: listener, endpoint_id: id } };
}

/** The way to an internal listener, which is called the same. */
export function internalCluster(listener: string): Cluster {
  return {
    name: listener,
    type: DiscoveryType.STATIC,
    connect_timeout: { seconds: 5 },
    circuit_breakers: noLimits,
    load_assignment: {
      cluster_name: listener,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: internalAddress(listener, listener) } }] }],
    },
    transport_socket: internalTransport,
  };
}

/** A value that goes over to the inner connection, and not further: an address, or by `factory` something else. */
export function passedOn(object_key: string, inline_string: string, factory?: 'envoy.hashable_string'): FilterStateValue {
  return {
    object_key,
    ...(factory !== undefined && { factory_key: factory }),
    format_string: { text_format_source: { inline_string }, omit_empty_values: true },
    skip_if_empty: true,
    shared_with_upstream: SharedWithUpstream.ONCE,
  };
}

/** Has a connection take along values by key, which are addresses where Envoy's own keys are. */
export function passedFacts(values: Readonly<Record<string, string>>): ConfigListenerFilter {
  const isAddress = (key: string): boolean => key === destinationState || key === clientState;
  return {
    name: 'kgateway.passed_facts',
    typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
      on_new_connection: Object.entries(values).map(([key, value]) =>
        passedOn(key, value, isAddress(key) ? undefined : 'envoy.hashable_string'),
      ),
    }),
  };
}

/** Has a connection take along who asks from where for what, and `more` by key. */
export function connectionFacts({ source }: ClientIdentity, more: Readonly<Record<string, string>> = {}): ConfigListenerFilter {
  return {
    name: 'kgateway.connection_facts',
    typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
      on_new_connection: [
        passedOn(peerPrincipalState, source, 'envoy.hashable_string'),
        passedOn(destinationState, '%DOWNSTREAM_LOCAL_ADDRESS%'),
        passedOn(clientState, '%DOWNSTREAM_REMOTE_ADDRESS%'),
        ...Object.entries(more).map(([key, value]) => passedOn(key, value, 'envoy.hashable_string')),
      ],
    }),
  };
}
