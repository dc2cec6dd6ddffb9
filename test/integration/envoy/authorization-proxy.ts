/**
 * A real Envoy that enforces AuthorizationPolicies, fed as a waypoint is: the peer's identity comes in a TLV of the PROXY header.
 *
 *   [spec of a policy]* -> parse -> Authorization -> HTTP: a route of one listener, chosen by the header x-case
 *                                                 -> TCP: a filter chain, chosen by the port that the PROXY header names
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Authorization, peerPrincipalState } from '../../../src/ir/authorization.ts';
import { authorizationOf, parseAuthorization } from '../../../src/istio/authorization.ts';
import { type Mesh, defaultMesh } from '../../../src/istio/mesh.ts';
import type { AuthorizationPolicySpec } from '../../../src/kube/types/istio-security.ts';
import { type ScopeSecurity, policyFilters, scopeFilterConfigs } from '../../../src/xds/filters/order.ts';
import { type ConfigListenerFilter, type FilterChain, any, encode } from '../../../src/xds/proto/index.ts';
import { networkRbacFilters } from '../../../src/xds/translate/network-rbac.ts';
import { envoyPath } from '../envoy.ts';
import { eventually } from '../local.ts';
import { freePorts } from '../ports.ts';
import { type Asked, type HttpCall as Request, callWaypoint, echoed } from '../waypoint-client.ts';

const mesh: Mesh = { ...defaultMesh, trustDomainAliases: ['old.domain'] };

/** What AuthorizationPolicies with these specs come to, all for one Service of namespace `demo`. */
export function authorize(
  specs: readonly AuthorizationPolicySpec[],
  annotations: Readonly<Record<string, string>> = {},
): Authorization | undefined {
  const parsed = specs.flatMap((spec, i) => {
    const metadata = { name: `p${i}`, namespace: 'demo', annotations };
    const targetRefs = [{ kind: 'Service', name: 'echo' }];
    const policy = { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec: { ...spec, targetRefs } };
    return parseAuthorization(policy, mesh, () => undefined) ?? [];
  });
  return authorizationOf(parsed, 'filter-state');
}

export interface Client {
  /** SPIFFE identity; absent: the client has none. */
  readonly principal?: string;
  readonly source?: string;
  readonly destination?: string;
  readonly port?: number;
}

export interface HttpCall extends Client, Request {
  readonly path?: string;
}

export interface AuthorizationProxy {
  /** Status of a request under the policies of a case. */
  http(index: number, call: HttpCall): Promise<number>;
  /** Whether bytes sent under the policies of a case come back. */
  tcp(index: number, client: Client): Promise<boolean>;
  /** Counters whose name contains `text`. */
  counters(text: string): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}

const firstTcpPort = 20_000;

/** Starts an Envoy that enforces each of `cases` on a route and in a TCP chain of its own. */
export async function startAuthorizationProxy(cases: readonly ScopeSecurity[]): Promise<AuthorizationProxy> {
  const [httpPort = 0, tcpPort = 0, adminPort = 0] = await freePorts(3);
  const folder = mkdtempSync(join(tmpdir(), 'kgateway-authorization-'));
  const file = join(folder, 'bootstrap.pb');
  const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const listener = (name: string, port: number, filter_chains: readonly FilterChain[]) => ({
    name,
    address: socket(port),
    listener_filters: [proxyProtocol],
    filter_chains,
  });
  const bootstrap = encode('envoy.config.bootstrap.v3.Bootstrap', {
    admin: { address: socket(adminPort) },
    static_resources: {
      listeners: [listener('http', httpPort, [{ filters: [identity, httpManager(cases)] }]), listener('tcp', tcpPort, cases.map(tcpChain))],
    },
  });
  writeFileSync(file, bootstrap);
  const args = ['-c', file, '--base-id', String(100_000 + (adminPort % 60_000)), '--concurrency', '1', '--log-level', 'warning'];
  const child = spawn(envoyPath(), args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await eventually('Envoy is ready', () => {
      if (child.exitCode !== null || child.signalCode !== null) return true;
      return fetch(`http://127.0.0.1:${adminPort}/ready`).then((r) => r.ok);
    });
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`Envoy ended: ${child.exitCode ?? child.signalCode}`);
  } catch (error) {
    await stop();
    throw new Error(`Envoy does not start with this configuration:\n${log.slice(-4000)}`, { cause: error });
  }
  return {
    http: async (index, { path = '/', host = 'echo.demo', headers, method = 'GET', ...client }) => {
      const call = { ...asked(client), method, host, headers: { 'x-case': String(index), ...headers } };
      return (await callWaypoint(httpPort, path, call)).status;
    },
    tcp: async (index, client) => (await echoed(tcpPort, 'hello', asked({ port: firstTcpPort + index, ...client }))) !== undefined,
    counters: async (text) => {
      const stats = await (await fetch(`http://127.0.0.1:${adminPort}/stats?filter=${encodeURIComponent(text)}`)).text();
      return Object.fromEntries(stats.split('\n').flatMap((line) => (line.includes(': ') ? [counterOf(line)] : [])));
    },
    stop,
  };
}

function counterOf(line: string): readonly [string, number] {
  const at = line.lastIndexOf(': ');
  return [line.slice(0, at), Number(line.slice(at + 2))];
}

const proxyProtocol = {
  name: 'envoy.filters.listener.proxy_protocol',
  typed_config: any('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol', {
    rules: [{ tlv_type: 0xd0, on_tlv_present: { key: 'peer_principal' } }],
  }),
};

const identity: ConfigListenerFilter = {
  name: 'identity',
  typed_config: any('envoy.extensions.filters.network.set_filter_state.v3.Config', {
    on_new_connection: [
      {
        object_key: peerPrincipalState,
        factory_key: 'envoy.string',
        format_string: {
          text_format_source: { inline_string: '%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:peer_principal)%' },
          omit_empty_values: true,
        },
        skip_if_empty: true,
      },
    ],
  }),
};

function httpManager(cases: readonly ScopeSecurity[]): ConfigListenerFilter {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: any('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: 'http',
      use_remote_address: { value: true },
      xff_num_trusted_hops: 1,
      normalize_path: { value: true },
      http_filters: [
        ...policyFilters.map((f) => ({ name: f.name, typed_config: f.chain })),
        { name: 'envoy.filters.http.router', typed_config: any('envoy.extensions.filters.http.router.v3.Router', {}) },
      ],
      route_config: {
        virtual_hosts: [
          {
            name: 'all',
            domains: ['*'],
            routes: cases.map((security, i) => ({
              match: { prefix: '/', headers: [{ name: 'x-case', string_match: { exact: String(i) } }] },
              direct_response: { status: 200 },
              typed_per_filter_config: scopeFilterConfigs(security),
            })),
          },
        ],
      },
    }),
  };
}

function tcpChain({ authorization }: ScopeSecurity, index: number): FilterChain {
  return {
    name: `tcp-${index}`,
    filter_chain_match: { destination_port: { value: firstTcpPort + index } },
    filters: [
      identity,
      ...(authorization ? networkRbacFilters(authorization) : []),
      { name: 'envoy.filters.network.echo', typed_config: any('envoy.extensions.filters.network.echo.v3.Echo', {}) },
    ],
  };
}

/** What ztunnel says of a client. */
function asked({ principal, source = '10.0.0.1', destination = '10.96.0.10', port = 8080 }: Client): Asked {
  return { address: destination, port, principal, source };
}
