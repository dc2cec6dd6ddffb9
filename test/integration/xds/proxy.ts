// A real Envoy that follows an ADS server, the resources that make it route, and traffic through it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiVersion, any, Cluster_DiscoveryType, encode, HeaderValueOption_HeaderAppendAction } from '../../../src/xds/proto/index.ts';
import type { MessageName, MessageTypes, RouteConfiguration } from '../../../src/xds/proto/index.ts';
import { TypeUrl, versionOf } from '../../../src/xds/resource.ts';
import type { XdsResource } from '../../../src/xds/resource.ts';
import { envoyPath } from '../envoy.ts';

export const scope = 'web/gw';
const ads = { ads: {}, resource_api_version: ApiVersion.V3, initial_fetch_timeout: {} };

function resource<N extends MessageName>(
  type: TypeUrl,
  message: N,
  name: string,
  value: MessageTypes[N],
  clusters: readonly string[] = [],
): XdsResource {
  const bytes = encode(message, value);
  return { scope, type, name, version: versionOf(bytes), bytes, origins: [], clusters };
}

/** A cluster whose endpoints come by EDS. `broken`: with a transport socket that no Envoy has. */
export function cluster(name: string, o: { readonly connectTimeout?: number; readonly broken?: boolean } = {}): XdsResource {
  return resource(TypeUrl.cluster, 'envoy.config.cluster.v3.Cluster', name, {
    name,
    type: Cluster_DiscoveryType.EDS,
    eds_cluster_config: { eds_config: ads },
    connect_timeout: { seconds: o.connectTimeout ?? 5 },
    ...(o.broken && {
      transport_socket: { name: 'none', typed_config: { type_url: 'type.googleapis.com/none.Such', value: new Uint8Array() } },
    }),
  });
}

export function endpoints(name: string, port: number): XdsResource {
  return resource(TypeUrl.endpoint, 'envoy.config.endpoint.v3.ClusterLoadAssignment', name, {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] }],
  });
}

/** One host: its requests go to `to`, and answers carry `x-version`. `broken`: the same domain twice. */
export function host(name: string, to: string, version: string, o: { readonly broken?: boolean } = {}): XdsResource {
  const virtualHost = {
    name,
    domains: [name],
    routes: [{ match: { prefix: '/' }, route: { cluster: to } }],
    response_headers_to_add: [{ header: { key: 'x-version', value: version } }],
  };
  const config: RouteConfiguration = {
    name,
    virtual_hosts: o.broken ? [virtualHost, { ...virtualHost, name: `${name}-again` }] : [virtualHost],
  };
  const value = { name, key: { fragments: [{ string_key: name }] }, route_configuration: config };
  return resource(TypeUrl.scopedRoute, 'envoy.config.route.v3.ScopedRouteConfiguration', name, value, [to]);
}

/** A listener that chooses the scope by the host of the request. */
export function listener(name: string, port: number): XdsResource {
  const hcm = any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: name,
    scoped_routes: {
      name: 'scopes',
      scope_key_builder: { fragments: [{ header_value_extractor: { name: 'x-scope', index: 0 } }] },
      rds_config_source: ads,
      scoped_rds: { scoped_rds_config_source: ads },
    },
    early_header_mutation_extensions: [
      {
        name: 'scope',
        typed_config: any('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation', {
          mutations: [
            {
              append: {
                header: { key: 'x-scope', value: '%REQ(:AUTHORITY)%' },
                append_action: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
              },
            },
          ],
        }),
      },
    ],
    http_filters: [{ name: 'router', typed_config: any('envoy.extensions.filters.http.router.v3.Router', {}) }],
  });
  return resource(TypeUrl.listener, 'envoy.config.listener.v3.Listener', name, {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
  });
}

/** An HTTP server that answers 200 to everything. */
export async function backend(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Waits until `done` returns something; no longer than 20 s. */
export async function until<T>(what: string, done: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    const result = await done();
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`waited 20 s: ${what}`);
}

export interface Envoy extends AsyncDisposable {
  readonly pid: number;
  /** Path on the admin port, as text. */
  admin(path: string): Promise<string>;
  stat(name: string): Promise<number>;
}

/** Starts Envoy against the ADS server on `xdsPort` (plaintext); ready when its admin port answers. */
export async function startEnvoy(xdsPort: number, concurrency = 2): Promise<Envoy> {
  const folder = mkdtempSync(join(tmpdir(), 'envoy-'));
  const bootstrap = {
    node: { id: 'proxy-1', cluster: 'gw.web', metadata: { role: 'kgateway-kube-gateway-api~web~gw' } },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    deferred_stat_options: { enable_deferred_creation_stats: true },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
      cds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
      lds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
    },
    static_resources: {
      clusters: [
        {
          name: 'xds',
          connect_timeout: '1s',
          type: 'STATIC',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: xdsPort } } } }] }],
          },
        },
      ],
    },
  };
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('bootstrap.json'), JSON.stringify(bootstrap));
  const flags = [
    '-c',
    at('bootstrap.json'),
    '--use-dynamic-base-id',
    '--concurrency',
    String(concurrency),
    '-l',
    'warn',
    '--log-path',
    at('log'),
  ];
  const child = spawn(envoyPath(), [...flags, '--admin-address-path', at('admin')], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const admin = async (path: string): Promise<string> => {
    const response = await fetch(`http://${readFileSync(at('admin'), 'utf8')}${path}`);
    return response.text();
  };
  await until('Envoy starts', async () => {
    if (child.exitCode !== null) throw new Error(`Envoy exited: ${readFileSync(at('log'), 'utf8').slice(-2000)}`);
    return admin('/server_info').catch(() => undefined);
  });
  return {
    pid: child.pid ?? 0,
    admin,
    stat: async (name) => Number(new RegExp(`^${name.replaceAll('.', '\\.')}: (\\d+)$`, 'm').exec(await admin('/stats'))?.[1] ?? NaN),
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
      rmSync(folder, { recursive: true });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly version: string | undefined;
}

/** One request for a host; rejects when there is no answer at all. */
export function get(port: number, authority: string, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', headers: { host: authority }, ...(agent && { agent }) }, (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode ?? 0, version: response.headers['x-version']?.toString() }));
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end();
  });
}

/** Whether something listens. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Keeps asking for a host, four requests at a time, until stopped; tells every answer but 200. */
export function traffic(
  port: number,
  authority: string,
): { stop(): Promise<{ readonly total: number; readonly failures: readonly string[] }> } {
  const agent = new Agent({ keepAlive: true });
  const failures: string[] = [];
  let total = 0;
  const stopped = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      total++;
      const outcome = await get(port, authority, agent).then((a) => String(a.status), String);
      if (outcome !== '200') failures.push(outcome);
    }
  };
  const loops = [loop(), loop(), loop(), loop()];
  return {
    async stop() {
      stopped.abort();
      await Promise.all(loops);
      agent.destroy();
      return { total, failures };
    },
  };
}
