/**
 * Every golden before a real Envoy: its listeners, scopes, clusters and endpoints make one bootstrap that `envoy --mode validate` accepts.
 * Scopes stand as listeners with the route configuration inline, secrets inline in their listeners, endpoints inline in their clusters.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { goldenCases, readGolden, translateYaml } from '../../../src/cmd/golden.ts';
import { identityFolder, identitySecret, secretFileName, trustSecret } from '../../../src/ir/mesh-identity.ts';
import { messageNameOf, toJson } from '../../../src/xds/proto/index.ts';
import { TypeUrl, type XdsResource } from '../../../src/xds/resource.ts';
import { envoyPath } from '../envoy.ts';

type Json = Record<string, unknown>;

const folder = mkdtempSync(join(tmpdir(), 'kgateway-goldens-'));
const verdicts = new Map<string, string>();
for (const name of [identitySecret, trustSecret]) writeFileSync(join(folder, secretFileName(name)), '{"resources": []}');

beforeAll(async () => {
  const waiting = [...goldenCases()];
  const worker = async (): Promise<void> => {
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) verdicts.set(file, await verdictOf(file));
  };
  await Promise.all([worker(), worker()]);
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(goldenCases())('Envoy accepts %s', (file) => {
  expect(verdicts.get(file)).toBe('accepted');
});

test('what is wrong would be seen', async () => {
  const bootstrap = JSON.stringify(bootstrapOf(translateYaml(readGolden('match-order.yaml').input).resources));
  expect(await validate('wrong', bootstrap.replaceAll('/v1/.*', '(?=/v1)'))).toMatch(/invalid perl operator/i);
});

function verdictOf(file: string): Promise<string> {
  return validate(file, JSON.stringify(bootstrapOf(translateYaml(readGolden(file).input).resources)));
}

async function validate(name: string, bootstrap: string): Promise<string> {
  const config = join(folder, `${name}.json`);
  // The certificate of the mesh is read from files in the Pod.
  writeFileSync(config, bootstrap.replaceAll(identityFolder, folder));
  try {
    await promisify(execFile)(envoyPath(), ['--mode', 'validate', '-c', config, '--log-level', 'error']);
    return 'accepted';
  } catch (error) {
    return (error as { stderr?: string }).stderr ?? String(error);
  }
}

function bootstrapOf(resources: readonly XdsResource[]): Json {
  const of = (type: TypeUrl): { readonly scope: string; readonly name: string; readonly json: Json }[] =>
    resources
      .filter((r) => r.type === type)
      .map((r) => ({ scope: r.scope, name: r.name, json: toJson(messageNameOf(r.type) as Parameters<typeof toJson>[0], r.bytes) as Json }));
  const secrets = new Map(of(TypeUrl.secret).map((s) => [`${s.scope}|${s.name}`, s.json['tls_certificate']]));
  const listeners = of(TypeUrl.listener);
  const all = listeners.map((l) => withCertificates(l.json, (name) => secrets.get(`${l.scope}|${name}`)));
  for (const scope of of(TypeUrl.scopedRoute)) {
    // Scopes of a waypoint are named by address and port, and belong to its only HTTP chain.
    const owner = scope.name.includes('|') ? 'http' : scope.name.slice(0, scope.name.indexOf(':'));
    // What says who owns a host belongs to all chains of its port, and is shown in one of them.
    const isOf = (c: Json): boolean => c['name'] === owner || String(c['name']).startsWith(`${owner}-`);
    const port = listeners.find((l) => l.scope === scope.scope && chainsOf(l.json).some(isOf));
    const chain = String(port && chainsOf(port.json).find(isOf)?.['name']);
    expect(port, `scope ${scope.name} belongs to a chain`).toBeDefined();
    if (port) all.push(withRoutes(port.json, chain, scope.json['route_configuration'] as Json));
  }
  const endpoints = new Map(of(TypeUrl.endpoint).map((e) => [e.name, e.json]));
  const clusters = new Map(
    of(TypeUrl.cluster).map((c) => {
      const inline = withInlineCertificates(c.json, (name) => secrets.get(`${c.scope}|${name}`));
      return [c.name, withEndpoints(inline, endpoints.get(c.name))];
    }),
  );
  return {
    node: { id: 'test', cluster: 'test' },
    dynamic_resources: {
      ads_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }] },
    },
    layered_runtime: { layers: [{ name: 'static', static_layer: { 're2.max_program_size.error_level': 32_768 } }] },
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener' },
      },
    ],
    static_resources: {
      listeners: all.map((l, i) => ({
        ...l,
        name: `l${i}`,
        ...(!l['internal_listener'] && {
          additional_addresses: [],
          address: { socket_address: { protocol: protocolOf(l), address: '127.0.0.1', port_value: 20_000 + i } },
        }),
      })),
      clusters: [{ name: 'xds', type: 'STATIC', typed_extension_protocol_options: http2 }, ...clusters.values()],
    },
  };
}

const http2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
};

/** None, when it listens to datagrams. */
function chainsOf(listener: Json): readonly Json[] {
  const chains = (listener['filter_chains'] as Json[] | undefined) ?? [];
  const last = listener['default_filter_chain'] as Json | undefined;
  return last ? [...chains, last] : chains;
}

function protocolOf(listener: Json): unknown {
  return (listener['address'] as { readonly socket_address: Json }).socket_address['protocol'];
}

/** SDS would be asked at run time only: the certificates are put into the listener. */
function withCertificates(listener: Json, find: (name: string) => unknown): Json {
  return {
    ...listener,
    filter_chains: ((listener['filter_chains'] as Json[] | undefined) ?? []).map((chain) => withInlineCertificates(chain, find)),
  };
}

/** The same of a filter chain or a cluster. */
function withInlineCertificates(owner: Json, find: (name: string) => unknown): Json {
  const socket = owner['transport_socket'] as Json | undefined;
  const typed = socket?.['typed_config'] as Json | undefined;
  const { tls_certificate_sds_secret_configs: sds, ...context } = (typed?.['common_tls_context'] ?? {}) as Json;
  // Files are there at the start already.
  if (!sds || JSON.stringify(sds).includes('path_config_source')) return owner;
  const certificates = (sds as { name: string }[]).map(({ name }) => find(name));
  expect(certificates, 'every certificate that is named is there').not.toContain(undefined);
  const common_tls_context = { ...context, tls_certificates: certificates };
  return { ...owner, transport_socket: { ...socket, typed_config: { ...typed, common_tls_context } } };
}

/** The listener with one chain, in clear text, that has the routes of a scope instead of all scopes. */
function withRoutes(listener: Json, name: string, routes: Json): Json {
  const { transport_socket: _tls, filter_chain_match: _match, ...chain } = chainsOf(listener).find((c) => c['name'] === name) ?? {};
  const filters = chain['filters'] as { name: string; typed_config: Json }[];
  const withRoutesInline = filters.map(({ name: filter, typed_config: { scoped_routes, ...config } }) => ({
    name: filter,
    typed_config: scoped_routes ? { ...config, route_config: routes } : config,
  }));
  const { listener_filters: _filters, default_filter_chain: _last, ...rest } = listener;
  return { ...rest, filter_chains: [{ ...chain, filters: withRoutesInline }] };
}

function withEndpoints(cluster: Json, assignment: Json | undefined): Json {
  // Found by DNS, in the cluster itself, or by what a connection asks for.
  if (cluster['eds_cluster_config'] === undefined) return cluster;
  expect(assignment, `cluster ${String(cluster['name'])} has endpoints, if none at all`).toBeDefined();
  const { eds_cluster_config: _eds, ...rest } = cluster;
  return { ...rest, type: 'STATIC', load_assignment: assignment };
}
