/**
 * Throughput of a waypoint beside the same Envoy that forwards plainly, in turns, with the same connections, on loopback.
 *
 *   clients ──PROXY header──> waypoint (one thread, configuration of the controller) ─┐
 *           └───────────────> plain    (one thread: a route, the router, no more)    ─┴─> backend (an Envoy that answers by itself)
 *
 *   node bench/throughput.ts [--seconds 20] [--connections 32] [--no-metrics]       the last: a Telemetry switches Istio's metrics off
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { envoyPath } from '../test/integration/envoy.ts';
import { freePort } from '../test/integration/ports.ts';
import { listens, until } from '../test/integration/xds/proxy.ts';
import { proxyHeader } from '../test/mesh/proxy-header.ts';
import { defineIstioKind, gateway, startPlane } from './plane.ts';
import { usage } from './processes.mjs';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    connections: { type: 'string', default: '32' },
    'no-metrics': { type: 'boolean' },
  },
});
const connections = Number(options.connections);
const turns = 20;
const turnMs = (Number(options.seconds) * 1000) / (2 * turns);
const waypointPort = 15_088;

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

/** An Envoy of static configuration with one HTTP listener. */
async function startStatic(address: string, port: number, route: object, clusters: readonly object[] = []) {
  const folder = mkdtempSync(join(tmpdir(), 'static-'));
  const hcm = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'plain',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }] },
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
  };
  const listener = {
    name: 'plain',
    address: { socket_address: { address, port_value: port } },
    filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
  };
  writeFileSync(join(folder, 'envoy.json'), JSON.stringify({ static_resources: { listeners: [listener], clusters } }));
  const flags = [
    '-c',
    join(folder, 'envoy.json'),
    '--use-dynamic-base-id',
    '--concurrency',
    '1',
    '-l',
    'warn',
    '--log-path',
    join(folder, 'log'),
  ];
  const child = spawn(envoyPath(), flags, { stdio: 'ignore' });
  await until('Envoy listens', async () => {
    if (child.exitCode !== null) throw new Error(readFileSync(join(folder, 'log'), 'utf8'));
    return (address !== '127.0.0.1' || (await listens(port))) && new Promise<true>((resolve) => setTimeout(resolve, 300, true));
  });
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, 'exit');
      rmSync(folder, { recursive: true });
    },
  };
}

interface Turn {
  readonly requests: number;
  readonly seconds: number;
  /** CPU seconds of the proxy. */
  readonly cpu: number;
}

const message = Buffer.from('GET /echo HTTP/1.1\r\nhost: echo\r\nuser-agent: bench\r\n\r\n');

/** Closed loop: each connection asks again when it has its answer. `first` is sent once on each connection. */
async function run(port: number, pid: number, ms: number, first: Buffer | undefined): Promise<Turn> {
  let requests = 0;
  let failed: Error | undefined;
  const sockets: Socket[] = [];
  const cpu = usage([pid])?.cpuSeconds ?? 0;
  const start = performance.now();
  for (let i = 0; i < connections; i++) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    sockets.push(socket);
    socket.on('connect', () => socket.write(first ? Buffer.concat([first, message]) : message));
    socket.on('error', (error) => (failed = error));
    // Answers are small and come whole; one that does not start like success ends the bench.
    socket.on('data', (bytes: Buffer) => {
      if (bytes.toString('latin1', 0, 12) !== 'HTTP/1.1 200') failed = new Error(bytes.toString('latin1', 0, 200));
      requests++;
      socket.write(message);
    });
  }
  await new Promise((resolve) => setTimeout(resolve, ms));
  const seconds = (performance.now() - start) / 1000;
  for (const socket of sockets) socket.destroy();
  if (failed) throw failed;
  return { requests, seconds, cpu: (usage([pid])?.cpuSeconds ?? 0) - cpu };
}

const { namespace } = gateway;
await using plane = await startPlane({
  waypoints: true,
  concurrency: 1,
  objects: async (p) => {
    if (!options['no-metrics']) return;
    await defineIstioKind(p, 'telemetry.istio.io', 'Telemetry', 'telemetries');
    const metrics = [{ providers: [{ name: 'prometheus' }], overrides: [{ match: { metric: 'ALL_METRICS' }, disabled: true }] }];
    const path = `/apis/telemetry.istio.io/v1/namespaces/${namespace}/telemetries`;
    const telemetry = { apiVersion: 'telemetry.istio.io/v1', kind: 'Telemetry', metadata: { name: 'none' }, spec: { metrics } };
    await until('Telemetries are served', () =>
      p.create(path, telemetry).then(
        () => true,
        () => undefined,
      ),
    );
  },
});
const { address } = plane.echo;
const backendPort = await freePort();
await using others = new AsyncDisposableStack();
others.use(await startStatic(address, backendPort, { direct_response: { status: 200, body: { inline_string: 'ok' } } }));
const plainPort = await freePort();
const upstream = { endpoint: { address: { socket_address: { address, port_value: backendPort } } } };
const cluster = {
  name: 'backend',
  type: 'STATIC',
  load_assignment: { cluster_name: 'backend', endpoints: [{ lb_endpoints: [upstream] }] },
};
const plain = others.use(await startStatic('127.0.0.1', plainPort, { route: { cluster: 'backend' } }, [cluster]));

await plane.create(`/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/gateways`, {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'Gateway',
  metadata: { name: gateway.name },
  spec: {
    gatewayClassName: 'kgateway-waypoint',
    listeners: [{ name: 'proxy', port: waypointPort, protocol: 'istio.io/PROXY' }],
  },
});
const { spec } = await plane.create(`/api/v1/namespaces/${namespace}/services`, {
  metadata: { name: 'echo', labels: { 'istio.io/use-waypoint': gateway.name } },
  spec: { ports: [{ name: 'http', port: 80 }] },
});
await plane.create(`/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
  metadata: { name: 'echo', labels: { 'kubernetes.io/service-name': 'echo' } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: backendPort }],
  endpoints: [{ addresses: [address], conditions: { ready: true }, targetRef: { kind: 'Pod', namespace, name: 'echo-7d4b9c8f6d-x2x5k' } }],
});
const header = proxyHeader({
  source: { address: '10.1.2.3', port: 40_000 },
  destination: { address: String(spec?.['clusterIP']), port: 80 },
  principal: 'spiffe://cluster.local/ns/bench/sa/client',
});
await until('the waypoint serves', () =>
  run(waypointPort, plane.envoy.pid, 20, header).then(
    ({ requests }) => (requests > 0 ? true : undefined),
    () => undefined,
  ),
);

const sum: Record<'plain' | 'waypoint', Turn[]> = { plain: [], waypoint: [] };
for (let turn = 0; turn < turns; turn++) {
  sum.plain.push(await run(plainPort, plain.pid, turnMs, undefined));
  sum.waypoint.push(await run(waypointPort, plane.envoy.pid, turnMs, header));
}
/** Of the turns: what else the machine does in one of them does not count. */
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const row = (of: readonly Turn[]) => ({
  requests_per_second: Math.round(median(of.map(({ requests, seconds }) => requests / seconds))),
  proxy_cpu_us_per_request: Math.round(median(of.map(({ requests, cpu }) => (cpu * 1e7) / requests))) / 10,
});
const [ours, theirs] = [row(sum.waypoint), row(sum.plain)];
console.table({ plain: theirs, waypoint: ours });
console.log(
  JSON.stringify({
    connections,
    metrics: !options['no-metrics'],
    throughput_percent: Math.round((ours.requests_per_second * 100) / theirs.requests_per_second),
    cpu_percent: Math.round((ours.proxy_cpu_us_per_request * 100) / theirs.proxy_cpu_us_per_request),
  }),
);
