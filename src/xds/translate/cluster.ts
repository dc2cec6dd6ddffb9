/** [Cluster] -> Envoy Cluster; [Endpoints] -> ClusterLoadAssignment. One of each for all routes and Gateways that lead there. */
import type { ClusterTraffic } from '../../ir/traffic.ts';
import type { Cluster, Endpoint, Endpoints, Place, UpstreamTls } from '../../ir/backend.ts';
import {
  type Cluster as EnvoyCluster,
  type ClusterLoadAssignment,
  type LbEndpoint,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  type LocalityLbEndpoints,
  encode,
} from '../proto/index.ts';
import { dynamicForwardProxy } from './dynamic-forward-proxy.ts';
import { type EndpointGroup, endpointGroups } from './locality.ts';
import { tunnelEndpoint, tunnelTransport } from './hbone-upstream.ts';
import { inferenceOptions } from './inference-cluster.ts';
import { lambdaOptions } from './lambda.ts';
import { clusterFacts, endpointFacts } from './service-facts.ts';
import { httpOptions, trafficOptions } from './cluster-traffic.ts';
import { originalDestination } from './original-destination.ts';
import { upstreamTlsSocket } from './upstream-tls.ts';
import { noLimits, overAds } from './values.ts';

/** How the proxies of one Gateway differ from those of others. */
export interface ClusterVariant {
  /** The SDS secret that its proxies show to backends that speak TLS. */
  readonly clientCertificate?: string | undefined;
  /** True: endpoints may be tunnels. */
  readonly tunnels?: boolean;
  /** True: no ztunnel takes the connections of the proxy. */
  readonly uncaptured?: boolean;
  /** How they treat the backend. */
  readonly traffic?: ClusterTraffic | undefined;
  /** True: nobody said which HTTP the backend speaks, so it is the one that the client chose. */
  readonly undeclared?: boolean;
  /** Where they run. */
  readonly place?: Place | undefined;
}

/** The bytes of a cluster. */
export function encodeCluster(
  cluster: Pick<Cluster, 'name' | 'statName'> & Partial<Cluster>,
  { clientCertificate, tunnels = false, uncaptured = false, traffic, undeclared = false, place }: ClusterVariant = {},
): Uint8Array {
  const asked = cluster.tls ?? traffic?.tls;
  const tls = asked && upstreamTlsSocket(asked, traffic?.http2 ? 'http2' : (cluster.protocol ?? 'http1'), clientCertificate);
  const transport = tunnels ? tunnelTransport(tls) : tls;
  const metadata = clusterFacts(cluster);
  const message: EnvoyCluster = {
    name: cluster.name,
    alt_stat_name: cluster.statName,
    ...(metadata && { metadata }),
    ...discovery(cluster, asked, uncaptured, place),
    connect_timeout: { seconds: 5 },
    circuit_breakers: noLimits,
    // An endpoint that leaves the set gets no more requests at once, whatever health checks say.
    ignore_health_on_host_removal: true,
    ...(cluster.inference && inferenceOptions[cluster.inference]),
    ...(cluster.lambda && lambdaOptions(cluster.lambda)),
    ...(transport && { transport_socket: transport }),
    ...httpOptions(cluster.tls ? traffic && withoutTls(traffic) : traffic, cluster, undeclared && !tls),
    ...(traffic && trafficOptions(traffic, cluster)),
  };
  return encode('envoy.config.cluster.v3.Cluster', message);
}

/** A BackendTLSPolicy wins. */
function withoutTls(traffic: ClusterTraffic): ClusterTraffic {
  const { tls: _, ...rest } = traffic;
  return rest;
}

/** Where a cluster has its endpoints from. */
function discovery(
  cluster: Pick<Cluster, 'name'> & Partial<Cluster>,
  asked: UpstreamTls | undefined,
  uncaptured: boolean,
  place: Place | undefined,
): Partial<EnvoyCluster> {
  switch (cluster.discovery?.from) {
    case 'dns':
      return {
        type: Cluster_DiscoveryType.STRICT_DNS,
        // Most clusters have no way out over IPv6.
        dns_lookup_family: Cluster_DnsLookupFamily.V4_PREFERRED,
        load_assignment: loadAssignment({ ...cluster.discovery, cluster: cluster.name }, place),
      };
    case 'host':
      return dynamicForwardProxy(cluster, asked);
    case 'original-destination':
      return originalDestination(cluster.discovery, uncaptured);
    default:
      return { type: Cluster_DiscoveryType.EDS, eds_cluster_config: { eds_config: overAds } };
  }
}

/** The bytes of a load assignment, for proxies in a place. An empty one is an answer too: the cluster has no endpoints, and requests get 503. */
export function encodeEndpoints(endpoints: Endpoints, place?: Place): Uint8Array {
  return encode('envoy.config.endpoint.v3.ClusterLoadAssignment', loadAssignment(endpoints, place));
}

function loadAssignment(
  { cluster, endpoints, prefers, locality }: Pick<Endpoints, 'cluster' | 'endpoints' | 'prefers' | 'locality'>,
  place: Place = {},
): ClusterLoadAssignment {
  if (locality) return { cluster_name: cluster, endpoints: endpointGroups(endpoints, locality, place).map(localityOf) };
  const distances = prefers === undefined ? undefined : Map.groupBy(endpoints, (e) => distance(e, prefers, place));
  // Priorities are counted without gaps: where nobody is near, the next are the first.
  const ranks = distances ? [...distances.keys()].sort((a, b) => a - b).map((d) => distances.get(d) ?? []) : [endpoints];
  return { cluster_name: cluster, endpoints: ranks.flatMap(localities) };
}

/** 0: on the same node, 1: in the same zone, 2: elsewhere. */
function distance({ near }: Endpoint, prefers: Endpoints['prefers'], { node, zone }: Place): number {
  if (prefers === 'node' && node !== undefined && near?.nodes.includes(node)) return 0;
  return zone !== undefined && near?.zones.includes(zone) ? 1 : 2;
}

/** The endpoints of a priority, by zone. */
function localities(endpoints: readonly Endpoint[], priority: number): LocalityLbEndpoints[] {
  const zones = Map.groupBy(endpoints, (e) => e.zone ?? '');
  return [...zones].map(([zone, members]) => localityOf({ locality: { zone }, priority, endpoints: members }));
}

function localityOf({ locality: { region, zone, subzone }, priority, weight, endpoints }: EndpointGroup): LocalityLbEndpoints {
  return {
    ...((region || zone || subzone) && {
      locality: { ...(region && { region }), ...(zone && { zone }), ...(subzone && { sub_zone: subzone }) },
    }),
    ...(weight !== undefined && { load_balancing_weight: { value: weight } }),
    ...(priority > 0 && { priority }),
    lb_endpoints: endpoints.map((member) => ({
      ...(member.weight !== undefined && { load_balancing_weight: { value: member.weight } }),
      ...withFacts(member.tunnel ? tunnelEndpoint(member, member.tunnel) : direct(member), member),
    })),
  };
}

function withFacts(endpoint: LbEndpoint, { workload }: Endpoint): LbEndpoint {
  if (workload === undefined) return endpoint;
  return {
    ...endpoint,
    metadata: { filter_metadata: { ...endpoint.metadata?.filter_metadata, ...endpointFacts(workload).filter_metadata } },
  };
}

function direct({ address, otherAddress, port }: Endpoint): LbEndpoint {
  const other = otherAddress === undefined ? [] : [{ address: { socket_address: { address: otherAddress, port_value: port } } }];
  return {
    endpoint: {
      address: { socket_address: { address, port_value: port } },
      ...(other.length > 0 && { additional_addresses: other }),
    },
  };
}
