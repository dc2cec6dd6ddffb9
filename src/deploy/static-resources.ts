// The static listeners and clusters of bootstraps, in Envoy's JSON form of its protos.
import { isIP } from 'node:net';

/** An object of Envoy's JSON form of its protos. */
export type EnvoyJson = { readonly [key: string]: unknown };

/** Prefix of the type URLs of Envoy's extensions. */
export const extensions = 'type.googleapis.com/envoy.extensions';

/** An address for a listener or an endpoint; `::` takes IPv4 as well. */
export function socketAddress(address: string, port: number): EnvoyJson {
  return { socket_address: { address, port_value: port, ...(address === '::' && { ipv4_compat: true }) } };
}

/** A Unix socket; a name with `@` in front is abstract: no file, and visible in the network namespace only. */
export function pipe(path: string): EnvoyJson {
  return { pipe: { path } };
}

/** A cluster of one address; a name is resolved by DNS. */
export function staticCluster(name: string, address: EnvoyJson, more: EnvoyJson = {}): EnvoyJson {
  const host = (address['socket_address'] as { readonly address: string } | undefined)?.address;
  return {
    name,
    ...(host === undefined || isIP(host) !== 0 ? { type: 'STATIC' } : { type: 'STRICT_DNS', dns_lookup_family: 'V4_PREFERRED' }),
    connect_timeout: '5s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    ...more,
  };
}

/** A listener for a few routes, with filters in front of the router. It does not count for the limit of connections. */
export function httpListener(
  name: string,
  address: EnvoyJson,
  routes: readonly EnvoyJson[],
  filters: readonly EnvoyJson[] = [],
): EnvoyJson {
  return {
    name,
    address,
    ignore_global_conn_limit: true,
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: name,
              route_config: { name, virtual_hosts: [{ name, domains: ['*'], routes }] },
              http_filters: [
                ...filters,
                { name: 'envoy.filters.http.router', typed_config: { '@type': `${extensions}.filters.http.router.v3.Router` } },
              ],
            },
          },
        ],
      },
    ],
  };
}
