/** What a waypoint tells about its traffic: Istio's metrics by name and label, and what Telemetry changes of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Backend, startBackend } from '../backend.ts';
import { type L4Backend, startEchoBackend } from '../l4.ts';
import { type LocalGateway, eventually, startLocalGateway } from '../local.ts';
import { conditionOf, linesOf, seriesOf, telemetry } from '../telemetry.ts';
import { type WaypointCall, callWaypoint, echoed } from '../waypoint-client.ts';
import { fileAccessLog, meshConfigMap, waypointGateway, waypointService } from '../waypoint.ts';

let gateway: LocalGateway;
let backend: Backend;
let tcp: Pick<L4Backend, 'port' | 'close'>;
const folder = mkdtempSync(join(tmpdir(), 'kgateway-telemetry-'));
const web = 'spiffe://cluster.local/ns/web/sa/frontend';
const echo = '10.96.0.1';

function get(path: string, call: Partial<WaypointCall> = {}) {
  return callWaypoint(gateway.port(15_088), path, { address: echo, ...call });
}

const { series, counted } = seriesOf(() => gateway.adminPort);

beforeAll(async () => {
  backend = await startBackend('one');
  tcp = await startEchoBackend();
  gateway = await startLocalGateway(
    {
      'gateway.yaml': `${waypointGateway}---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no }
spec:
  targetRefs: [{ kind: Service, name: echo }]
  action: DENY
  rules: [{ to: [{ operation: { paths: [/no], ports: ['80'] } }] }]
`,
      'services.yaml': waypointService(
        'echo',
        [echo],
        '{ name: http, port: 80 }, { name: smtp, port: 25 }',
        `{ name: http, port: ${backend.port} }, { name: smtp, port: ${tcp.port} }`,
        'addresses: [127.0.0.1], targetRef: { kind: Pod, namespace: default, name: echo-7d4b9c8f6d-x2x5k }',
      ),
    },
    [15_088],
  );
  await eventually('the waypoint serves', async () => (await get('/').catch(() => undefined))?.status === 200);
});

afterAll(async () => {
  expect(gateway.problems()).toEqual([]);
  expect(gateway.rejections()).toEqual([]);
  await gateway.stop();
  backend.close();
  tcp.close();
  rmSync(folder, { recursive: true });
});

const destination = {
  destination_service: 'echo.default.svc.cluster.local',
  destination_service_name: 'echo',
  destination_service_namespace: 'default',
} as const;

describe('metrics', () => {
  test('requests, with who asked for what, and what ran it', async () => {
    await get('/', { principal: web });
    await eventually('it is counted', () => counted('istio_requests_total', { source_principal: web }));
    const [one] = (await series('istio_requests_total')).filter((s) => s.labels['source_principal'] === web);
    expect(one?.labels).toEqual({
      reporter: 'waypoint',
      source_principal: web,
      source_workload: 'frontend',
      source_workload_namespace: 'web',
      source_app: 'frontend',
      source_canonical_service: 'frontend',
      source_canonical_revision: 'latest',
      source_cluster: 'Kubernetes',
      ...destination,
      destination_workload: 'echo',
      destination_workload_namespace: 'default',
      destination_app: 'echo',
      destination_canonical_service: 'echo',
      destination_canonical_revision: 'latest',
      destination_cluster: 'Kubernetes',
      request_protocol: 'http',
      response_code: '200',
      grpc_response_status: '',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
    });
  });

  test('a client without identity, gRPC, a refusal', async () => {
    await get('/no', { principal: web });
    const refused = { response_code: '403', source_workload: 'frontend', destination_workload: 'unknown', ...destination };
    await eventually('a refusal is counted for its Service', () => counted('istio_requests_total', refused));
    await get('/grpc', { headers: { 'content-type': 'application/grpc+proto' } });
    const nobody = {
      request_protocol: 'grpc',
      source_workload: 'unknown',
      source_principal: 'unknown',
      connection_security_policy: 'none',
    };
    await eventually('gRPC is counted', () => counted('istio_requests_total', nobody));
  });

  const measured = async (principal: string, wanted: Readonly<Record<string, string>>, ...names: readonly string[]): Promise<void> => {
    await get('/', { method: 'POST', body: 'x'.repeat(100), principal });
    for (const name of names) await eventually(`${name} is there`, async () => (await counted(`${name}_count`, wanted)) > 0);
  };

  test('durations, with what dashboards ask of them; sizes when one asks for them', async () => {
    const of = (namespace: string) => ({
      reporter: 'waypoint',
      source_workload: 'x',
      source_workload_namespace: namespace,
      destination_workload: 'echo',
      destination_workload_namespace: 'default',
      ...destination,
      connection_security_policy: 'mutual_tls',
    });
    await measured('spiffe://cluster.local/ns/durations/sa/x', of('durations'), 'istio_request_duration_milliseconds');
    expect((await series('istio_request_duration_milliseconds_count')).map((s) => s.labels)).toContainEqual(of('durations'));
    expect(await series('istio_request_bytes_count')).toEqual([]);

    await gateway.write(
      'sizes.yaml',
      telemetry('sizes', '{ metrics: [{ overrides: [{ match: { metric: ALL_METRICS, mode: SERVER }, disabled: false }] }] }'),
    );
    await eventually('sizes are told', async () => {
      await measured('spiffe://cluster.local/ns/sizes/sa/x', of('sizes'));
      return (await series('istio_response_bytes_count')).length > 0;
    });
    expect((await series('istio_request_bytes_count')).map((s) => s.labels)).toContainEqual(of('sizes'));
    expect(await counted('istio_request_bytes_sum', of('sizes'))).toBeGreaterThan(90);
    await gateway.remove('sizes.yaml');
  });

  test('connections, when they end', async () => {
    expect(await echoed(gateway.port(15_088), 'hello', { address: echo, port: 25, principal: web })).toBe('hello');
    const wanted = { ...destination, request_protocol: 'tcp', source_principal: web, destination_workload: 'echo' };
    for (const name of ['opened', 'closed']) {
      await eventually(`${name} is counted`, async () => (await counted(`istio_tcp_connections_${name}_total`, wanted)) === 1);
    }
    expect(await counted('istio_tcp_received_bytes_total', wanted)).toBe(5);
    expect(await counted('istio_tcp_sent_bytes_total', wanted)).toBe(5);
  });

  test('connections of requests are none of those', async () => {
    const principal = 'spiffe://cluster.local/ns/requests/sa/x';
    await get('/', { principal });
    expect(await echoed(gateway.port(15_088), 'hello', { address: echo, port: 25, principal })).toBe('hello');
    await eventually('a connection is counted', () => counted('istio_tcp_connections_closed_total', { source_principal: principal }));
    expect(await counted('istio_tcp_connections_closed_total', { source_principal: principal })).toBe(1);
  });
});

const ofWaypoint = 'targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: gw }]';
const lines = (file: string): readonly string[] => linesOf(join(folder, file));
const condition = (name: string): string => conditionOf(gateway, name);

describe('Telemetry', () => {
  test('access logs: of the mesh, of a namespace, of a waypoint, with a filter; the nearest wins', async () => {
    const mesh = (...providers: readonly string[]): string =>
      meshConfigMap(`accessLogFile: ${join(folder, 'mesh.log')}\nextensionProviders: [${providers.join(', ')}]\n`);
    await gateway.write('mesh.yaml', mesh());
    await eventually('the mesh logs', async () => (await get('/of-the-mesh', { principal: web })) && lines('mesh.log').length > 0);
    expect(lines('mesh.log').at(-1)).toMatch(/"GET \/of-the-mesh HTTP\/1\.1" 200 - .* spiffe:\/\/cluster\.local\/ns\/web\/sa\/frontend$/);

    const provider = (name: string, format: string) => fileAccessLog(name, join(folder, `${name}.log`), format);
    await gateway.write(
      'mesh.yaml',
      mesh(
        provider('lines', "text: '%REQ(:PATH)% %RESPONSE_CODE%'"),
        provider('fields', "labels: { path: '%REQ(:PATH)%', who: '%FILTER_STATE(io.istio.peer_principal:PLAIN)%' }"),
        provider('broken', "text: '%NOT A COMMAND'"),
      ),
    );
    await gateway.write('telemetry.yaml', telemetry('all', '{ accessLogging: [{ providers: [{ name: lines }] }] }', 'istio-system'));
    await eventually('the root namespace logs', async () => (await get('/root')) && lines('lines.log').includes('/root 200'));

    await gateway.write(
      'nearer.yaml',
      telemetry('ns', '{ accessLogging: [{ providers: [{ name: lines }], disabled: true }] }') +
        telemetry(
          'wp',
          `{ ${ofWaypoint}, accessLogging: [{ providers: [{ name: fields }], filter: { expression: 'response.code >= 400' } }] }`,
        ),
    );
    await eventually(
      'the waypoint logs',
      async () => (await get('/no', { principal: web })).status === 403 && lines('fields.log').length > 0,
    );
    expect(JSON.parse(lines('fields.log').at(-1) ?? '')).toEqual({ path: '/no', who: web });
    await get('/fine');
    await get('/no');
    await eventually('the refusal is there', () =>
      lines('fields.log').some((line) => line.includes('"who":null') || line.includes('"who":"-"')),
    );
    expect(lines('fields.log').some((line) => line.includes('/fine'))).toBe(false);
    expect(lines('lines.log').some((line) => line.includes('/fine'))).toBe(false);
    expect(condition('default/wp')).toBe('True Accepted: holds for Gateway default/gw');
  });

  test('metrics: some are left out, of others labels', async () => {
    const override = (match: string, more: string) => `{ match: { metric: ${match} }, ${more} }`;
    const overrides = [
      override('REQUEST_DURATION', 'disabled: true'),
      override('REQUEST_COUNT', 'tagOverrides: { response_flags: { operation: REMOVE } }'),
    ];
    await gateway.write(
      'metrics.yaml',
      telemetry('metrics', `{ metrics: [{ providers: [{ name: prometheus }], overrides: [${overrides.join(', ')}] }] }`),
    );
    const principal = 'spiffe://cluster.local/ns/later/sa/x';
    await eventually('labels are left out', async () => {
      await get('/', { principal });
      return (await series('istio_requests_total')).some(
        (s) => s.labels['source_principal'] === principal && !('response_flags' in s.labels),
      );
    });
    const last = { source_workload_namespace: 'last' };
    await get('/', { principal: 'spiffe://cluster.local/ns/last/sa/x' });
    await eventually('requests are counted', () => counted('istio_requests_total', last));
    expect(await counted('istio_request_duration_milliseconds_count', last)).toBe(0);
  });

  test('metrics: labels of its own, and of Istio with another value', async () => {
    const labels: Readonly<Record<string, readonly [expression: string, shown: string]>> = {
      literal: [`"a)% 'b'"`, "a)% 'b'"],
      host: ['request.host', 'shop'],
      path: ["has(request.headers) && request.path.startsWith('/own') ? request.url_path : 'other'", '/own'],
      status: ['response.code >= 200 && response.code % 100 == 0 ? "round" : "odd"', 'round'],
      port: ['string(destination.port)', '80'],
      absent: ["request.headers['x-absent']", 'unknown'],
      source_app: ["request.headers['x-app'].matches('^[a-z]+$') ? request.headers['x-app'] : 'none'", 'mine'],
    };
    const overrides = Object.entries(labels).map(([name, [value]]) => `${name}: { operation: UPSERT, value: ${JSON.stringify(value)} }`);
    const tcp = 'tagOverrides: { request_protocol: { operation: REMOVE }, mine: { value: request.host } }';
    await gateway.write(
      'own.yaml',
      telemetry(
        'own',
        `{ metrics: [{ overrides: [{ match: { metric: REQUEST_COUNT }, tagOverrides: { ${overrides.join(', ')} } }, { match: { metric: TCP_CLOSED_CONNECTIONS }, ${tcp} }] }] }`,
      ),
    );
    const principal = 'spiffe://cluster.local/ns/own/sa/x';
    const own = async () => {
      await get('/own?a=b', { principal, headers: { host: 'shop', 'x-app': 'mine' } });
      return (await series('istio_requests_total')).filter((s) => s.labels['source_principal'] === principal && 'host' in s.labels);
    };
    await eventually('labels are there', async () => (await own()).length > 0);
    expect((await own())[0]?.labels).toMatchObject(Object.fromEntries(Object.entries(labels).map(([name, [, shown]]) => [name, shown])));

    expect(await echoed(gateway.port(15_088), 'hello', { address: echo, port: 25, principal })).toBe('hello');
    await eventually('the connection is counted', () => counted('istio_tcp_connections_closed_total', { mine: 'unknown' }));
    expect(await counted('istio_tcp_connections_closed_total', { source_principal: principal })).toBe(1);
    expect((await series('istio_tcp_connections_closed_total')).some((s) => s.labels['mine'] && s.labels['request_protocol'])).toBe(false);
    await gateway.remove('own.yaml');
  });

  test('what cannot be done is said, and nothing else stops', async () => {
    await gateway.write(
      'wrong.yaml',
      telemetry(
        'wrong',
        `{ ${ofWaypoint}, tracing: [{}], accessLogging: [{ providers: [{ name: broken }, { name: nobody }] }, { providers: [{ name: lines }], filter: { expression: 'node.id == "x"' } }] }`,
      ),
    );
    await eventually('it is said', () => condition('default/wrong').startsWith('False PartiallyInvalid'));
    for (const field of [
      'spec.tracing: ',
      '"broken" is no provider',
      '"nobody" is no provider',
      'spec.accessLogging[1].filter.expression: has node',
    ]) {
      expect(condition('default/wrong')).toContain(field);
    }
    expect((await get('/')).status).toBe(200);
  });
});
