/**
 * What a change costs at a waypoint with many Services: from the API server's answer until requests feel it, and the bytes that the proxy is sent.
 * The bench stands in for ztunnel: it connects with a PROXY header that names the Service.
 *
 *   node bench/waypoint.ts [SERVICES ...]                 default 2000 and 10000; needs etcd and kube-apiserver (test/lab), not the lab itself
 */
import { type IncomingMessage, request } from 'node:http';
import { type Socket, connect } from 'node:net';
import { proxyHeader } from '../test/mesh/proxy-header.ts';
import { type Plane, defineIstioKind, gateway, startPlane } from './plane.ts';
import { usage } from './processes.mjs';

const { namespace } = gateway;
const gatewayApi = 'gateway.networking.k8s.io/v1';
const authorization = 'security.istio.io/v1';
const collection = (group: string, plural: string) => `/apis/${group}/namespaces/${namespace}/${plural}`;
const paths = {
  services: `/api/v1/namespaces/${namespace}/services`,
  slices: collection('discovery.k8s.io/v1', 'endpointslices'),
  routes: collection(gatewayApi, 'httproutes'),
  gateways: collection(gatewayApi, 'gateways'),
  policies: collection(authorization, 'authorizationpolicies'),
};
const waypointPort = 15_088;
const changes = 20;

/** Creates a Service of the waypoint with its endpoint; resolves to its address. */
async function createService({ create, echo }: Pick<Plane, 'create' | 'echo'>, name: string): Promise<string> {
  const { spec } = await create(paths.services, {
    metadata: { name, labels: { 'istio.io/use-waypoint': gateway.name } },
    spec: { ports: [{ name: 'http', port: 80 }] },
  });
  await create(paths.slices, {
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: echo.port }],
    endpoints: [{ addresses: [echo.address], conditions: { ready: true } }],
  });
  return String(spec?.['clusterIP']);
}

async function createAll(plane: Pick<Plane, 'create' | 'echo'>, services: number): Promise<void> {
  await defineIstioKind(plane, 'security.istio.io', 'AuthorizationPolicy', 'authorizationpolicies');
  await plane.create(paths.gateways, {
    apiVersion: gatewayApi,
    kind: 'Gateway',
    metadata: { name: gateway.name },
    spec: {
      gatewayClassName: 'kgateway-waypoint',
      listeners: [{ name: 'proxy', port: waypointPort, protocol: 'istio.io/PROXY' }],
    },
  });
  for (let first = 0; first < services; first += 16)
    await Promise.all(Array.from({ length: Math.min(16, services - first) }, (_, i) => createService(plane, `service-${first + i}`)));
}

/** Opens a connection as ztunnel does. */
function dial(address: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: waypointPort, host: '127.0.0.1', noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject).on('error', () => {});
      const principal = 'spiffe://cluster.local/ns/bench/sa/client';
      socket.write(proxyHeader({ source: { address: '10.1.2.3', port: 40_000 }, destination: { address, port: 80 }, principal }));
      resolve(socket);
    });
  });
}

interface Hit {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
}

/** One request over a connection that stays; rejects when the connection ends. */
function ask(socket: Socket, path: string): Promise<Hit> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ createConnection: () => socket, path, setHost: false, headers: { host: 'echo', connection: 'keep-alive' } });
    outgoing.on('response', (answer) => {
      answer.resume().on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers }));
    });
    outgoing.on('error', reject).end();
  });
}

/** Milliseconds until `holds` says so; asks every 2 ms. */
async function live(holds: () => Promise<boolean>): Promise<number> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > 60_000) throw new Error('not live after 60 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return performance.now() - start;
}

const once = async (address: string, path: string): Promise<Hit> => {
  const socket = await dial(address);
  try {
    return await ask(socket, path);
  } catch {
    return { status: 0, headers: {} };
  } finally {
    socket.destroy();
  }
};

/** Numbers of one size. Times are milliseconds, up to one poll too long; bytes are what the proxy received on its stream for one change. */
interface Row {
  readonly services: number;
  readonly what: string;
  readonly mean_ms: number;
  readonly p50_ms: number;
  readonly max_ms: number;
  readonly xds_bytes: number;
  readonly controller_cpu_ms: number;
}

async function measure(services: number): Promise<void> {
  await using plane = await startPlane({ waypoints: true, objects: (p) => createAll(p, services) });
  const { server, envoy } = plane;
  const addressOf = async (name: string): Promise<string> =>
    String((await server.call('GET', `${paths.services}/${name}`)).body.spec?.['clusterIP']);
  const last = await addressOf(`service-${services - 1}`);
  await live(async () => (await once(last, '/').catch(() => undefined))?.status === 200);

  const stat = async (name: string): Promise<number> => {
    const text = await envoy.admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
    return Number(/: (\d+)/.exec(text)?.[1] ?? Number.NaN);
  };
  const draining = async (): Promise<number> =>
    (await stat('listener_manager.total_listeners_draining')) +
    (await stat('listener_manager.total_filter_chains_draining')) +
    (await stat('listener_manager.listener_modified')) +
    (await stat('listener_manager.listener_in_place_updated'));
  const received = (): Promise<number> => stat('cluster.xds.upstream_cx_rx_bytes_total');

  const kept = await dial(last);
  await ask(kept, '/');
  const before = await draining();
  const rows: Row[] = [];
  /** `change` makes the nth change and resolves to how to see it. */
  const series = async (what: string, change: (n: number) => Promise<() => Promise<boolean>>): Promise<void> => {
    const times: number[] = [];
    const bytes = await received();
    const cpu = usage([plane.controller.pid ?? 0])?.cpuSeconds ?? 0;
    for (let n = 0; n < changes; n++) {
      times.push(await live(await change(n)));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const used = (usage([plane.controller.pid ?? 0])?.cpuSeconds ?? 0) - cpu;
    rows.push({
      services,
      what,
      mean_ms: round(times.reduce((a, b) => a + b, 0) / changes),
      p50_ms: round(times.toSorted((a, b) => a - b)[changes / 2] ?? 0),
      max_ms: round(Math.max(...times)),
      xds_bytes: Math.round(((await received()) - bytes) / changes),
      controller_cpu_ms: round((used * 1000) / changes),
    });
  };
  await series('Service', async (n) => {
    const address = await createService(plane, `new-${n}`);
    return async () => (await once(address, '/')).status === 200;
  });
  await series('route', async (n) => {
    const address = await addressOf(`service-${n}`);
    await plane.create(paths.routes, {
      apiVersion: gatewayApi,
      kind: 'HTTPRoute',
      metadata: { name: `route-${n}` },
      spec: {
        parentRefs: [{ group: '', kind: 'Service', name: `service-${n}` }],
        rules: [
          {
            filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-route', value: String(n) }] } }],
            backendRefs: [{ name: `service-${n}`, port: 80 }],
          },
        ],
      },
    });
    return async () => (await once(address, '/')).headers['x-route'] === String(n);
  });
  await series('policy', async (n) => {
    const address = await addressOf(`service-${n + changes}`);
    await plane.create(paths.policies, {
      apiVersion: authorization,
      kind: 'AuthorizationPolicy',
      metadata: { name: `policy-${n}` },
      spec: {
        targetRefs: [{ group: '', kind: 'Service', name: `service-${n + changes}` }],
        action: 'DENY',
        rules: [{ to: [{ operation: { paths: ['/denied'] } }] }],
      },
    });
    return async () => (await once(address, '/denied')).status === 403;
  });

  const alive = await ask(kept, '/').then(
    ({ status }) => status === 200,
    () => false,
  );
  kept.destroy();
  const drained = (await draining()) - before;
  console.table(rows);
  console.log(
    JSON.stringify({
      services,
      kept_connection: alive ? 'lives' : 'ended',
      drained,
      controller_rss_mb: usage([plane.controller.pid ?? 0])?.rssMegabytes,
      proxy_rss_mb: usage([envoy.pid])?.rssMegabytes,
    }),
  );
}

const round = (value: number): number => Math.round(value * 10) / 10;
const sizes = process.argv.slice(2).map(Number);
for (const services of sizes.length > 0 ? sizes : [2000, 10_000]) await measure(services);
