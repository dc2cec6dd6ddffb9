/**
 * What istiod tells ztunnels: Services with their waypoints, and workloads, as `istio.workload.Address` over delta ADS.
 *
 *   istiod:15012 ──> responses, each acknowledged ──> [MeshService], [MeshWorkload]
 *
 * While istiod is away what it said last holds.
 */
import { Client, type ClientDuplexStream, Metadata, credentials } from '@grpc/grpc-js';
import { parse } from 'protobufjs';
import { decode, encode } from '../../src/xds/proto/index.ts';
import { adsService } from '../../src/xds/server.ts';
import { caServerName } from './certificate-authority.ts';
import type { Istiod } from './istiod.ts';

/** A waypoint: by the host name of its Service (`namespace/host`), or by an address. */
export interface WaypointAddress {
  readonly service?: string;
  readonly address?: string;
  readonly port: number;
}

export interface MeshService {
  /** `namespace/host`. */
  readonly key: string;
  readonly addresses: readonly string[];
  readonly ports: readonly number[];
  /** With their shares, which add up to 100; none: it is reached directly. */
  readonly waypoints: readonly (WaypointAddress & { readonly weight: number })[];
}

export interface MeshWorkload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly identity: string;
  /** Keys of the Services that it is part of. */
  readonly services: readonly string[];
  readonly healthy: boolean;
  readonly tunnel: 'none' | 'hbone';
  /** It ends HBONE itself. */
  readonly nativeTunnel: boolean;
  /** Where its ztunnel passes connections on, whatever they ask for. */
  readonly applicationTunnel?: { readonly protocol: 'none' | 'proxy'; readonly port: number };
  readonly waypoint?: WaypointAddress;
}

export interface WorkloadDiscovery {
  services(): readonly MeshService[];
  workloads(): readonly MeshWorkload[];
  stop(): void;
}

/** workloadapi/workload.proto, as far as it is used. */
const { root } = parse(
  `syntax = "proto3";
  package istio.workload;
  message Address { oneof type { Workload workload = 1; Service service = 2; } }
  message Service {
    string namespace = 2; string hostname = 3; repeated NetworkAddress addresses = 4; repeated Port ports = 5;
    GatewayAddress waypoint = 7; repeated WeightedWaypoint weighted_waypoints = 13;
  }
  message Workload {
    string name = 1; string namespace = 2; repeated bytes addresses = 3; uint32 tunnel_protocol = 5; string trust_domain = 6;
    string service_account = 7; GatewayAddress waypoint = 8; bool native_tunnel = 14; uint32 status = 17; string uid = 20;
    map<string, PortList> services = 22; ApplicationTunnel application_tunnel = 23;
  }
  message PortList { repeated Port ports = 1; }
  message Port { uint32 service_port = 1; uint32 target_port = 2; }
  message ApplicationTunnel { uint32 protocol = 1; uint32 port = 2; }
  message GatewayAddress {
    oneof destination { NamespacedHostname hostname = 1; NetworkAddress address = 2; }
    uint32 hbone_mtls_port = 3;
  }
  message WeightedWaypoint { GatewayAddress destination = 1; uint32 weight = 2; }
  message NetworkAddress { string network = 1; bytes address = 2; uint32 length = 3; }
  message NamespacedHostname { string namespace = 1; string hostname = 2; }`,
  { keepCase: true },
);
const addressType = root.lookupType('istio.workload.Address');
const typeUrl = 'type.googleapis.com/istio.workload.Address';

interface NetworkAddress {
  readonly address?: Uint8Array;
  /** Of a range. */
  readonly length?: number;
}
interface GatewayAddress {
  readonly hostname?: { readonly namespace: string; readonly hostname: string };
  readonly address?: NetworkAddress;
  readonly hbone_mtls_port?: number;
}
interface ServiceMessage {
  readonly namespace?: string;
  readonly hostname?: string;
  readonly addresses?: readonly NetworkAddress[];
  readonly ports?: readonly { readonly service_port?: number }[];
  readonly waypoint?: GatewayAddress;
  readonly weighted_waypoints?: readonly { readonly destination?: GatewayAddress; readonly weight?: number }[];
}
interface WorkloadMessage {
  readonly uid?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly addresses?: readonly Uint8Array[];
  readonly tunnel_protocol?: number;
  readonly trust_domain?: string;
  readonly service_account?: string;
  readonly waypoint?: GatewayAddress;
  readonly native_tunnel?: boolean;
  readonly status?: number;
  readonly services?: Readonly<Record<string, unknown>>;
  readonly application_tunnel?: { readonly protocol?: number; readonly port?: number };
}

const retryMs = 1000;

/** Subscribes to everything, as a ztunnel. Resolves with the first answer; rejects when there is none. */
export async function discoverWorkloads(istiod: Istiod): Promise<WorkloadDiscovery> {
  const services = new Map<string, MeshService>();
  const workloads = new Map<string, MeshWorkload>();
  let stopped = false;
  let call: ClientDuplexStream<Buffer, Buffer> | undefined;
  let retry: NodeJS.Timeout | undefined;
  const client = new Client(istiod.address, credentials.createSsl(Buffer.from(istiod.roots)), {
    'grpc.ssl_target_name_override': caServerName,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
    // An istiod that was away for long is not to be waited for as long again.
    'grpc.initial_reconnect_backoff_ms': retryMs,
    'grpc.max_reconnect_backoff_ms': retryMs,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 2000,
  });

  async function open(on: { readonly first: () => void; readonly failed: (error: unknown) => void }): Promise<void> {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${await istiod.token('istio-system', 'default')}`);
    const { path, requestSerialize, responseDeserialize } = adsService.DeltaAggregatedResources;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    call = stream;
    const send = (fields: object): void => {
      const message = { type_url: typeUrl, ...fields };
      stream.write(Buffer.from(encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', message)));
    };
    let isFirst = true;
    stream.on('data', (bytes: Buffer) => {
      const { resources = [], removed_resources: removed = [], nonce } = decode('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes);
      // The first answer is everything: what it does not name is gone.
      if (isFirst) for (const known of [services, workloads]) known.clear();
      for (const { name = '', resource } of resources)
        take(name, addressType.toObject(addressType.decode(resource?.value ?? Buffer.alloc(0))));
      for (const name of removed) for (const known of [services, workloads]) known.delete(name);
      send({ response_nonce: nonce ?? '' });
      if (isFirst) on.first();
      isFirst = false;
    });
    stream.on('error', on.failed);
    stream.on('end', () => on.failed(new Error('istiod ended the stream')));
    send({ node: { id: 'ztunnel~127.0.0.1~ztunnel-double.istio-system~istio-system.svc.cluster.local' } });
  }

  function take(name: string, address: { readonly service?: ServiceMessage; readonly workload?: WorkloadMessage }): void {
    if (address.service) services.set(name, serviceOf(address.service));
    if (address.workload) workloads.set(name, workloadOf(address.workload));
  }

  function again(): void {
    if (stopped) return;
    clearTimeout(retry);
    retry = setTimeout(() => void open({ first: () => {}, failed: again }).catch(again), retryMs);
  }

  await new Promise<void>((first, reject) => {
    const failed = (error: unknown): void => {
      reject(error);
      again();
    };
    open({ first, failed }).catch(failed);
  }).catch((error: unknown) => {
    stop();
    throw error;
  });

  function stop(): void {
    stopped = true;
    clearTimeout(retry);
    call?.cancel();
    client.close();
  }
  return { services: () => [...services.values()], workloads: () => [...workloads.values()], stop };
}

function serviceOf(s: ServiceMessage): MeshService {
  const weighted = (s.weighted_waypoints ?? []).map(({ destination = {}, weight = 0 }) => ({ ...waypointOf(destination), weight }));
  const only = s.waypoint ? [{ ...waypointOf(s.waypoint), weight: 100 }] : [];
  return {
    key: `${s.namespace}/${s.hostname}`,
    addresses: (s.addresses ?? []).filter((a) => a.length === undefined).map((a) => text(a.address)),
    ports: (s.ports ?? []).map((p) => p.service_port ?? 0),
    waypoints: weighted.length > 0 ? weighted : only,
  };
}

function workloadOf(w: WorkloadMessage): MeshWorkload {
  // What is the usual is left out.
  const { namespace = '', trust_domain: domain = 'cluster.local', service_account: account = 'default', application_tunnel: app } = w;
  return {
    uid: w.uid ?? '',
    name: w.name ?? '',
    namespace,
    addresses: (w.addresses ?? []).map(text),
    identity: `spiffe://${domain}/ns/${namespace}/sa/${account}`,
    services: Object.keys(w.services ?? {}),
    healthy: (w.status ?? 0) === 0,
    tunnel: w.tunnel_protocol === 1 ? 'hbone' : 'none',
    nativeTunnel: w.native_tunnel ?? false,
    ...(app && { applicationTunnel: { protocol: app.protocol === 1 ? 'proxy' : 'none', port: app.port ?? 0 } }),
    ...(w.waypoint && { waypoint: waypointOf(w.waypoint) }),
  };
}

function waypointOf({ hostname, address, hbone_mtls_port: port = 0 }: GatewayAddress): WaypointAddress {
  return {
    ...(hostname && { service: `${hostname.namespace}/${hostname.hostname}` }),
    ...(address && { address: text(address.address) }),
    port,
  };
}

/** An address as programs write it. */
function text(bytes: Uint8Array = Buffer.alloc(0)): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: bytes.length / 2 }, (_, i) =>
    Buffer.from(bytes)
      .readUInt16BE(i * 2)
      .toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
