/**
 * The ADS server: delta and state-of-the-world streams over gRPC, with bytes that were made elsewhere.
 *
 *     ResourceStore --changes--> connection (one a proxy) <--> Envoy        connections --> ConnectedProxy, Rejection
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { reloadingCredentials } from './certificate.ts';
import type { ServerCertificate } from './certificate.ts';
import { serveConnection } from './connection.ts';
import type { AdsCall, Connection, ConnectionOptions, ProxyDebug } from './connection.ts';
import type { StreamState } from './stream.ts';

export { certificateFiles } from './certificate.ts';
export type { KeyPair, ServerCertificate } from './certificate.ts';
export type { ConnectionOptions, Log, ProxyDebug, XdsEvents } from './connection.ts';

export interface XdsServerOptions extends ConnectionOptions {
  /** `host:port`; port 0 takes any. */
  readonly address: string;
  /** Without it the server speaks plaintext, which it does on loopback only. */
  readonly tls?: ServerCertificate;
  /** After about this long (±10 %) a connection is closed, so that proxies spread over replicas and tokens are reviewed again. Default 30 min. */
  readonly maxConnectionAgeMs?: number;
}

export interface XdsServer {
  readonly port: number;
  /** All proxies that have an open stream. */
  debug(): readonly ProxyDebug[];
  /** Ends all streams and the server. */
  close(): Promise<void>;
}

const service = 'envoy.service.discovery.v3.AggregatedDiscoveryService';

function adsMethod(name: string): MethodDefinition<Buffer, Buffer> {
  const identity = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/${service}/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}

/** The service, for clients that speak bytes as well. */
export const adsService = {
  DeltaAggregatedResources: adsMethod('DeltaAggregatedResources'),
  StreamAggregatedResources: adsMethod('StreamAggregatedResources'),
} satisfies ServiceDefinition;

function isLoopback(address: string): boolean {
  return /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$/.test(address) || address.startsWith('unix:');
}

/** Starts to listen. Nothing is answered before `ready()`; streams are accepted and wait. Throws if the address cannot be had. */
export async function startXdsServer(o: XdsServerOptions): Promise<XdsServer> {
  if (!isLoopback(o.address) && (!o.tls || !o.authenticate)) {
    throw new Error(
      `xDS on ${o.address} needs a certificate and authentication: it carries private keys. Give both, or listen on 127.0.0.1`,
    );
  }
  const server = new Server({
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.max_connection_age_ms': o.maxConnectionAgeMs ?? 30 * 60_000,
    'grpc.max_connection_age_grace_ms': 10_000,
    'grpc.enable_channelz': 0,
  });
  const open = new Set<Connection>();
  const serve =
    (protocol: StreamState['protocol']) =>
    (call: AdsCall): void => {
      const connection = serveConnection(call, protocol, o, () => open.delete(connection));
      open.add(connection);
    };
  const implementation: UntypedServiceImplementation = {
    DeltaAggregatedResources: serve('delta'),
    StreamAggregatedResources: serve('sotw'),
  };
  server.addService(adsService, implementation);
  const credentials = o.tls ? reloadingCredentials(o.tls) : ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(o.address, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  o.log.info({ address: o.address, port, tls: o.tls !== undefined }, 'xDS server listens');
  return {
    port,
    debug: () => [...open].flatMap((c) => c.debug() ?? []),
    close: () =>
      new Promise<void>((resolve) => {
        for (const connection of open) connection.end();
        // Clients keep the connection open after their streams have ended: give the status a moment to leave, then cut.
        const cut = setTimeout(() => server.forceShutdown(), 200);
        server.tryShutdown(() => {
          clearTimeout(cut);
          resolve();
        });
      }),
  };
}
