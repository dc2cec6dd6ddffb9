/**
 * Connections to workloads by their own addresses.
 *
 *   connection ─┬─ for an address of a group ─┬─ and a port that is TCP ─> cluster of workloads
 *               │                             └─ anything else ──────────> where the protocol is found out (waypoint-detect.ts) ─> the same
 *               └─ for anything else: as without workloads
 *
 *   cluster of workloads: the address that the connection asked for, as it is
 *   cluster of tunnels:   the same through a tunnel, whose other end has to show one of the identities that come with the connection
 *
 * Which addresses there are stands in the matcher of the listener alone: it may change without closing anything, and chains are the same for all Pods of
 * a Deployment. What is not in it never gets to these clusters.
 */
import type { TrustDomains } from '../../ir/mesh-identity.ts';
import type { TcpService, WaypointListener, WorkloadGroup } from '../../ir/waypoint.ts';
import { workloadPlace, workloadTunnelPlace } from '../../ir/waypoint.ts';
import {
  type Cluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
  type FilterChain,
  type TypeMatcherMatcher,
  type TypeMatcherMatcher_OnMatch as OnMatch,
  any,
  encode,
} from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { chainNamed, exactly, input } from './chain-matcher.ts';
import { originate, tunnelFacts } from './hbone-upstream.ts';
import { connectionFacts, destinationState, internalAddress, internalTransport, passedFacts } from './internal-listener.ts';
import { destinationFacts, detectedPrefix, sourceFacts } from './istio-metrics.ts';
import { tcpProxy } from './listener.ts';
import type { ClientIdentity } from './waypoint-chains.ts';
import { detectListenerName, detectionFacts } from './waypoint-detect.ts';
import { noLimits } from './values.ts';
import { authorizationOf } from './waypoint-tcp.ts';

type Served = Pick<WaypointListener, 'workloads' | 'trustDomains'>;

/** The chains of all groups: each has those that its ports need. */
export function workloadChains({ workloads, trustDomains }: Served, identity: ClientIdentity): readonly FilterChain[] {
  return (workloads?.groups ?? []).flatMap((group) => {
    const place = placeOf(group, workloads?.places ?? []);
    if (!place) return [];
    const facts = {
      ...destinationFacts(group),
      ...(group.account !== undefined && tunnelFacts(identitiesOf(group, trustDomains))),
    };
    const detected = (kind: Kind, declared?: 'http'): FilterChain => ({
      name: chainName(kind, group),
      filters: [
        connectionFacts(identity, { ...detectionFacts(place, declared), ...facts }),
        tcpProxy('detect', [{ cluster: detectListenerName, weight: 1 }]),
      ],
    });
    // A tunnel leads where the connection asks to go; without one nobody looks at this.
    const asked = { [destinationState]: '%DOWNSTREAM_LOCAL_ADDRESS%' };
    const declares = (protocol: 'http' | 'tcp') => group.members.some((m) => m.ports.some((p) => p.protocol === protocol));
    return [
      detected('any'),
      ...(declares('http') ? [detected('http', 'http')] : []),
      ...(declares('tcp')
        ? [
            {
              name: chainName('tcp', group),
              filters: [
                ...identity.filters,
                passedFacts({ ...facts, ...asked }),
                sourceFacts,
                ...authorizationOf(place),
                tcpProxy('tcp', place.backends),
              ],
            },
          ]
        : []),
    ];
  });
}

type Kind = 'any' | 'http' | 'tcp';

/** Those that pass connections on begin as such chains do. */
function chainName(kind: Kind, { namespace, workload, account }: WorkloadGroup): string {
  const group = [namespace, workload, ...(account === undefined ? [] : [account])].join('/');
  return kind === 'tcp' ? `workload|${group}` : `${detectedPrefix}${kind}|${group}`;
}

function placeOf({ account }: WorkloadGroup, places: readonly TcpService[]): TcpService | undefined {
  const wanted = account === undefined ? workloadPlace : workloadTunnelPlace;
  return places.find((p) => p.address === wanted);
}

function identitiesOf({ namespace, account }: WorkloadGroup, trustDomains: TrustDomains): readonly string[] {
  return trustDomains.map((domain) => `spiffe://${domain}/ns/${namespace}/sa/${account}`);
}

/**
 * Chains with matches of their own -> the same by a matcher, behind them the addresses of workloads. Within a destination port the matches of chains would
 * not go on to chains without a port.
 */
export function matchedChains(
  chains: readonly FilterChain[],
  { workloads }: Served,
): { readonly filter_chains: readonly FilterChain[]; readonly filter_chain_matcher: TypeMatcherMatcher } {
  const places = new Map<string, Place>();
  const at = (range: string): Place => {
    const found = places.get(range) ?? { range, ports: new Map(), otherwise: undefined };
    places.set(range, found);
    return found;
  };
  for (const { name = '', filter_chain_match } of chains) {
    const port = filter_chain_match?.destination_port?.value;
    if (port === undefined) continue;
    for (const r of filter_chain_match?.prefix_ranges ?? []) {
      at(`${r.address_prefix}/${r.prefix_len?.value}`).ports.set(port, name);
    }
  }
  for (const group of workloads?.groups ?? []) {
    for (const { address, ports } of group.members) {
      const place = at(`${address}/${address.includes(':') ? 128 : 32}`);
      for (const { port, protocol } of ports) if (!place.ports.has(port)) place.ports.set(port, chainName(protocol, group));
      place.otherwise = chainName('any', group);
    }
  }
  // Addresses with the same ports and chains, as all Pods of a Deployment, share an entry.
  const alike = Map.groupBy(places.values(), ({ ports, otherwise }) =>
    JSON.stringify([[...ports].toSorted(([a], [b]) => a - b), otherwise]),
  );
  return {
    // What the matcher names has no match of its own.
    filter_chains: chains.map((chain) => ({ ...chain, filter_chain_match: undefined })),
    filter_chain_matcher: {
      matcher_tree: {
        input: input(any('envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput', {})),
        custom_match: {
          name: 'addresses',
          typed_config: any('xds.type.matcher.v3.IPMatcher', {
            range_matchers: [
              nowhere,
              ...[...alike.values()].map((same) => ({ ranges: same.map((p) => rangeOf(p.range)), on_match: onPort(same) })),
            ],
          }),
        },
      },
    },
  };
}

interface Place {
  readonly range: string;
  readonly ports: Map<number, string>;
  otherwise: string | undefined;
}

/** The list must not be empty; no connection asks for this address. */
const nowhere = { ranges: [rangeOf('255.255.255.255/32')], on_match: chainNamed('constant') };

function rangeOf(text: string): { readonly address_prefix: string; readonly prefix_len: { readonly value: number } } {
  const [address_prefix = '', bits] = text.split('/');
  return { address_prefix, prefix_len: { value: Number(bits) } };
}

function onPort([place]: readonly Place[]): OnMatch {
  const { ports, otherwise } = place ?? { ports: new Map<number, string>(), otherwise: undefined };
  const on_no_match = otherwise === undefined ? undefined : chainNamed(otherwise);
  if (ports.size === 0) return on_no_match ?? chainNamed('constant');
  return {
    matcher: {
      ...exactly(
        any('envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput', {}),
        [...ports].map(([port, name]) => [String(port), name]),
      ),
      ...(on_no_match && { on_no_match }),
    },
  };
}

/** The clusters of workloads. */
export function workloadClusters({ scope, origins, workloads }: WaypointListener): readonly XdsResource[] {
  return (workloads?.places ?? []).map(({ address: name }) => {
    const bytes = encode('envoy.config.cluster.v3.Cluster', { ...common, name, ...(name === workloadTunnelPlace ? tunnelled : direct) });
    return resourceOf(TypeUrl.cluster, { scope, name, origins }, bytes);
  });
}

const common: Cluster = {
  connect_timeout: { seconds: 5 },
  circuit_breakers: noLimits,
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
      // The address of a Pod that went is soon another Pod's.
      common_http_protocol_options: { idle_timeout: { seconds: 60 } },
      use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
    }),
  },
};

const direct: Cluster = {
  type: DiscoveryType.ORIGINAL_DST,
  lb_policy: LbPolicy.CLUSTER_PROVIDED,
  cleanup_interval: { seconds: 60 },
};

const tunnelled: Cluster = {
  type: DiscoveryType.STATIC,
  load_assignment: {
    cluster_name: workloadTunnelPlace,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: internalAddress(originate, workloadTunnelPlace) } }] }],
  },
  transport_socket: internalTransport,
};
