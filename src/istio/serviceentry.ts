/** A ServiceEntry as services of the mesh: [ServiceEntry] -> MeshService, one a host. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { type EndpointPlace, parseLocality } from '../ir/locality.ts';
import type { EndpointSource, InlineEndpoint, MeshService } from '../ir/mesh.ts';
import { isReservedAddress, isReservedName } from '../ir/reserved-address.ts';
import type { ServiceEntry, WorkloadEntrySpec } from '../kube/types/istio-networking.ts';
import { serviceEntryPortProtocol } from './protocol.ts';
import { parseCidr } from './text-match.ts';

const autoAllocateLabel = 'networking.istio.io/enable-autoallocate-ip';

/** The services that a ServiceEntry describes. Source: Istio, ServiceEntry; what istiod publishes to ztunnel. */
export function hostsOfServiceEntry(entry: ServiceEntry): readonly MeshService[] {
  const { name, namespace = '' } = entry.metadata;
  const ports = (entry.spec.ports ?? []).map((p) => ({
    port: p.number,
    name: p.name,
    protocol: serviceEntryPortProtocol(p.protocol),
    targetPort: p.targetPort === undefined || p.targetPort === 0 ? p.number : p.targetPort,
  }));
  return [...new Set(entry.spec.hosts)].map((host) => ({
    key: `${namespace}/${host}`,
    kind: 'ServiceEntry',
    namespace,
    name,
    host,
    addresses: addressesOf(entry, host),
    ports,
    endpoints: endpointsOf(entry, host),
    ...(entry.spec.subjectAltNames?.length && { subjectAltNames: entry.spec.subjectAltNames }),
    origin: { group: 'networking.istio.io', kind: 'ServiceEntry', namespace, name },
  }));
}

/** The user's, else those that istiod allocated for this host: not with resolution NONE, where the dialled address is the destination. */
function addressesOf({ spec, status, metadata }: ServiceEntry, host: string): readonly string[] {
  if (spec.addresses?.length) return [...new Set(spec.addresses.flatMap((a) => canonicalAddress(a) ?? []))];
  const resolution = spec.resolution ?? 'NONE';
  if (resolution === 'NONE' || metadata.labels?.[autoAllocateLabel]?.toLowerCase() === 'false') return [];
  if (host.startsWith('*') && resolution !== 'DYNAMIC_DNS') return [];
  return (status?.addresses ?? []).filter((a) => a.host === host).map((a) => a.value);
}

/**
 * An address or a range in the one form of all that mean the same; undefined for what is neither. Envoy refuses a listener of which two chains are for
 * one address, or one for none, and that listener is of all services of a waypoint.
 */
function canonicalAddress(text: string): string | undefined {
  const cidr = parseCidr(text);
  if (!cidr) return undefined;
  const { bits } = cidr;
  const address = ipaddr.parse(cidr.address);
  const [length, family] = address.kind() === 'ipv4' ? [32, ipaddr.IPv4] : [128, ipaddr.IPv6];
  return bits === length ? address.toString() : `${family.networkAddressFromCIDR(`${cidr.address}/${bits}`).toString()}/${bits}`;
}

function endpointsOf({ spec, metadata }: ServiceEntry, host: string): EndpointSource {
  const inline = (spec.endpoints ?? []).flatMap(inlineEndpoint);
  const addresses = inline.filter((e) => isReachable(e.address));
  switch (spec.resolution ?? 'NONE') {
    case 'STATIC':
      return spec.workloadSelector?.labels
        ? { from: 'workloads', namespace: metadata.namespace ?? '', labels: spec.workloadSelector.labels }
        : { from: 'static', endpoints: addresses };
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      if (spec.workloadSelector?.labels)
        return { from: 'workloads', namespace: metadata.namespace ?? '', labels: spec.workloadSelector.labels };
      if (inline.length === 0 && isReachableByName(host)) return { from: 'dns', endpoints: [{ address: host, ports: {} }] };
      return { from: 'dns', endpoints: inline.filter((e) => isReachable(e.address) || isReachableByName(e.address)) };
    case 'DYNAMIC_DNS':
      return { from: 'request-host' };
    case 'NONE':
      return { from: 'original-destination' };
  }
}

/** False for what is no IP address, for those of the proxy itself, where its administration is, and for those at an interface of it (`fd00::1%eth0`). */
export function isReachable(address: string): boolean {
  return isIP(address) !== 0 && !address.includes('%') && !isReservedAddress(address);
}

function isReachableByName(host: string): boolean {
  return isIP(host) === 0 && !host.includes('/') && !isReservedName(host);
}

/** Where an endpoint is; undefined if nobody says anything. */
export function entryPlace(locality: string | undefined, labels: WorkloadEntrySpec['labels']): EndpointPlace | undefined {
  const at = { ...parseLocality(locality), ...(labels && Object.keys(labels).length > 0 && { labels }) };
  return Object.keys(at).length > 0 ? at : undefined;
}

/** An endpoint in another network, without an address here, is reached through that network's gateway: not from a waypoint of ours. */
function inlineEndpoint(e: WorkloadEntrySpec): InlineEndpoint[] {
  if (e.address === undefined || e.address === '') return [];
  const at = entryPlace(e.locality, e.labels);
  return [{ address: e.address, ports: e.ports ?? {}, ...(at && { at }), ...(e.weight !== undefined && { weight: e.weight }) }];
}
