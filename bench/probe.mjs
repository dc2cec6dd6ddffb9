// Route propagation: the time from the API server's answer to a new HTTPRoute until the first 200 through the Gateway, for any GatewayClass.
//   node bench/probe.mjs --class kgateway --routes 100 --preload 1000 --services 1000 --process /app/kgateway.mjs
// Prints one JSON line. Times are in milliseconds and are up to one poll (--poll, 2 ms) too long; a poll is one request over a kept connection.
// Errors are answers other than 404 (not yet) and 200, and failed connections. Ends within --limit seconds and takes its namespace away.
import http from 'node:http';
import { parseArgs } from 'node:util';
import { kubernetes } from './kubernetes.mjs';
import { processes, usage } from './processes.mjs';

const { values: options } = parseArgs({
  options: {
    class: { type: 'string', default: 'kgateway' },
    routes: { type: 'string', default: '100' },
    preload: { type: 'string', default: '0' },
    services: { type: 'string', default: '1' },
    process: { type: 'string', default: '/app/kgateway.mjs' },
    poll: { type: 'string', default: '2' },
    pause: { type: 'string', default: '20' },
    limit: { type: 'string', default: '900' },
  },
});
const [routes, preload, services, poll, pause, limit] = ['routes', 'preload', 'services', 'poll', 'pause', 'limit'].map((name) =>
  Number(options[name]),
);

/** One route may take this long; then it counts as an error with this time. */
const routeLimitMs = 60_000;
const api = kubernetes();
const namespace = `probe-${options.class}-${Date.now().toString(36)}`;
const gatewayApi = `/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}`;
const started = performance.now();

const progress = (text) => process.stderr.write(`probe: ${text}\n`);
// A timer is never shorter than 1 ms; below that, the next turn of the event loop is the nearest.
const sleep = (ms) => new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)));

async function until(what, seconds, check) {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (performance.now() > end) throw new Error(`no ${what} after ${seconds} s`);
    await sleep(100);
  }
}

/** Name of the nth Service; all of them lead to the same Pod. */
const serviceName = (n) => (n === 0 ? 'echo' : `echo-${n}`);

function route(name, service = 'echo') {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, namespace },
    spec: {
      parentRefs: [{ name: 'gw' }],
      hostnames: [`${name}.example.com`],
      rules: [{ matches: [{ path: { type: 'PathPrefix', value: '/r' } }], backendRefs: [{ name: service, port: 80 }] }],
    },
  };
}

async function setUp() {
  const echo = { name: 'echo', image: 'registry.k8s.io/gateway-api/echo-basic:v1.5.1' };
  echo.env = [
    { name: 'POD_NAME', value: 'echo' },
    { name: 'NAMESPACE', value: namespace },
  ];
  const labels = { app: 'echo' };
  await api.create('/api/v1/namespaces', { metadata: { name: namespace } });
  await api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, {
    metadata: { name: 'echo' },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [echo] } } },
  });
  for (let i = 0; i < services; i++) {
    await api.create(`/api/v1/namespaces/${namespace}/services`, {
      metadata: { name: serviceName(i) },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 3000 }] },
    });
  }
  await api.create(`${gatewayApi}/gateways`, {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'gw', namespace },
    spec: { gatewayClassName: options.class, listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }] },
  });
  return until(
    'address of the Gateway',
    120,
    async () => (await api.request('GET', `${gatewayApi}/gateways/gw`)).body.status?.addresses?.[0]?.value,
  );
}

const proxyAgent = new http.Agent({ keepAlive: true, maxSockets: 1 });

/** Status of one request to the Gateway; 0 when there is no answer. */
function hit(address, host) {
  return new Promise((resolve) => {
    const request = http.get({ host: address, port: 80, path: '/r', headers: { host }, agent: proxyAgent, timeout: 3000 }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
      answer.on('error', () => resolve(0));
    });
    request.on('error', () => resolve(0));
    request.on('timeout', () => request.destroy());
  });
}

/** Polls until the host answers with 200. */
async function live(address, host) {
  const start = performance.now();
  let errors = 0;
  for (;;) {
    const status = await hit(address, host);
    const ms = performance.now() - start;
    if (status === 200) return { ms, errors };
    if (status !== 404) errors++;
    if (ms > routeLimitMs || performance.now() - started > limit * 1000) return { ms, errors: errors + 1 };
    await sleep(poll);
  }
}

/** CPU seconds of the controller in the last quiet second. */
let idleCpu;

async function preloadRoutes(address) {
  for (let first = 0; first < preload; first += 16) {
    const count = Math.min(16, preload - first);
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        api.create(`${gatewayApi}/httproutes`, route(`pre-${first + i}`, serviceName((first + i) % services))),
      ),
    );
  }
  await until('answer of the last preloaded route', 300, async () => (await hit(address, `pre-${preload - 1}.example.com`)) === 200);
  // Status writes of thousands of routes go on after the last one answers; measure when the controller is quiet.
  let before = usage(controllers)?.cpuSeconds ?? 0;
  await until('quiet controller', 120, async () => {
    await sleep(1000);
    const now = usage(controllers)?.cpuSeconds ?? 0;
    const quiet = now - before < 0.05;
    idleCpu = now - before;
    before = now;
    return quiet;
  });
}

async function measure(address) {
  const times = [];
  let errors = 0;
  for (let i = 0; i < routes && performance.now() - started < limit * 1000; i++) {
    await api.create(`${gatewayApi}/httproutes`, route(`probe-${i}`));
    const result = await live(address, `probe-${i}.example.com`);
    times.push(result.ms);
    errors += result.errors;
    await sleep(pause);
  }
  return { times: times.sort((a, b) => a - b), errors };
}

const round = (value) => (value === undefined ? null : Math.round(value * 10) / 10);
const controllers = processes(options.process);
try {
  if (controllers.length === 0) progress(`no process with ${options.process} in its command line: no CPU and memory`);
  const address = await setUp();
  progress(`Gateway at ${address}`);
  await api.create(`${gatewayApi}/httproutes`, route('first'));
  await until('answer of the first route', 120, async () => (await hit(address, 'first.example.com')) === 200);
  if (preload > 0) {
    progress(`${preload} routes first`);
    await preloadRoutes(address);
  }
  progress(`measuring ${routes} routes`);
  const before = usage(controllers);
  const { times, errors } = await measure(address);
  const after = usage(controllers);
  const quantile = (q) => times[Math.min(times.length - 1, Math.floor(q * times.length))];
  const result = {
    class: options.class,
    preload,
    services,
    routes: times.length,
    mean_ms: round(times.reduce((sum, ms) => sum + ms, 0) / times.length),
    p50_ms: round(quantile(0.5)),
    p99_ms: round(quantile(0.99)),
    max_ms: round(times.at(-1)),
    errors,
    controller_cpu_ms_per_route: before && after ? round(((after.cpuSeconds - before.cpuSeconds) * 1000) / times.length) : null,
    controller_idle_cpu_percent: round(idleCpu === undefined ? undefined : idleCpu * 100),
    controller_rss_mb: after?.rssMegabytes ?? null,
    proxy_rss_mb: usage(processes('envoy', namespace))?.rssMegabytes ?? null,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
} catch (error) {
  progress(`${error.message}; next: kubectl get gateways,httproutes,pods -A, and the controller's log`);
  process.exitCode = 1;
} finally {
  await api.request('DELETE', `/api/v1/namespaces/${namespace}`);
  await until('end of the namespace', 180, async () => (await api.request('GET', `/api/v1/namespaces/${namespace}`)).status === 404).catch(
    (error) => progress(error.message),
  );
  proxyAgent.destroy();
  api.close();
}
