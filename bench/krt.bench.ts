/**
 * How fast krt settles, at the sizes of a large cluster. Run: node --expose-gc bench/krt.bench.ts
 *
 *   Pods ─┬─> Workloads (fetch Services of the namespace, by index and selector; fetch the Namespace by key) ──> group by service ──> Endpoints
 *   Services, Namespaces ─┘
 */
import { Graph, group, map, source } from '../src/krt/index.ts';
import type { Collection, Source } from '../src/krt/index.ts';

interface Pod {
  readonly ns: string;
  readonly name: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
}
interface Service {
  readonly ns: string;
  readonly name: string;
  readonly selector: Readonly<Record<string, string>>;
}
interface Namespace {
  readonly name: string;
  readonly waypoint: string;
}
interface Workload {
  readonly key: string;
  readonly address: string;
  readonly services: readonly string[];
  readonly waypoint: string | undefined;
}
interface Endpoints {
  readonly service: string;
  readonly addresses: readonly string[];
}

interface World {
  readonly graph: Graph;
  readonly pods: Source<Pod>;
  readonly services: Source<Service>;
  readonly workloads: Collection<Workload>;
  readonly endpoints: Collection<Endpoints>;
}

const podsPerNamespace = 100;
const appsPerNamespace = 10;

function world(): World {
  const graph = new Graph({ schedule: () => {}, assertions: false });
  const pods = source<Pod>(graph, { name: 'Pods', key: (p) => `${p.ns}/${p.name}` });
  const services = source<Service>(graph, { name: 'Services', key: (s) => `${s.ns}/${s.name}` });
  const namespaces = source<Namespace>(graph, { name: 'Namespaces', key: (n) => n.name });
  const byNamespace = services.index('namespace', (s) => [s.ns]);
  const workloads = map(graph, pods, { name: 'Workloads' }, (ctx, p, key): Workload => ({
    key,
    address: p.ip,
    services: ctx.fetch(services, { index: byNamespace, is: p.ns, where: (s) => selects(s, p) }).map((s) => `${s.ns}/${s.name}`),
    waypoint: ctx.fetchOne(namespaces, p.ns)?.waypoint,
  }));
  const byService = workloads.index('service', (w) => w.services);
  const members = group(graph, { name: 'Members' }, byService);
  const endpoints = map(graph, members, { name: 'Endpoints' }, (_, m): Endpoints => ({
    service: m.key,
    addresses: m.items.map((w) => w.address).sort(),
  }));
  for (const s of [pods, services, namespaces]) s.markSynced();
  return { graph, pods, services, workloads, endpoints };
}

const selects = (s: Service, p: Pod): boolean => Object.entries(s.selector).every(([k, v]) => p.labels[k] === v);

/** The same result by hand, everything from scratch: what a controller without collections does on each change. */
function byHand(pods: Iterable<Pod>, services: Iterable<Service>): Map<string, Endpoints> {
  const inNamespace = Map.groupBy(services, (s) => s.ns);
  const members = new Map<string, string[]>();
  for (const p of pods) {
    for (const s of inNamespace.get(p.ns) ?? []) {
      if (!selects(s, p)) continue;
      const key = `${s.ns}/${s.name}`;
      const addresses = members.get(key);
      if (addresses) addresses.push(p.ip);
      else members.set(key, [p.ip]);
    }
  }
  return new Map(Array.from(members, ([key, addresses]) => [key, { service: key, addresses: addresses.sort() }]));
}

const pod = (i: number, ip = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`): Pod => ({
  ns: `ns-${Math.floor(i / podsPerNamespace)}`,
  name: `pod-${i}`,
  ip,
  labels: { app: `app-${i % appsPerNamespace}`, version: 'v1' },
});
const service = (i: number, selector = `app-${i % appsPerNamespace}`): Service => ({
  ns: `ns-${Math.floor(i / appsPerNamespace)}`,
  name: `svc-${i}`,
  selector: { app: selector },
});

function load(w: World, pods: number, services: number): void {
  for (let i = 0; i < services; i++) w.services.set(service(i));
  for (let i = 0; i < pods; i++) w.pods.set(pod(i));
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

const heap = (): number => {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 1e6;
};
const runs = (w: World): number => w.graph.stats().reduce((sum, s) => sum + s.transforms, 0);

const rows: { scenario: string; ms: string; 'µs each': string; transforms: number; heap: string }[] = [];

function measure(scenario: string, w: World, times: number, work: () => void): void {
  const before = { heap: heap(), runs: runs(w) };
  const ms = timed(work);
  rows.push({
    scenario,
    ms: ms.toFixed(1),
    'µs each': times > 1 ? ((ms * 1000) / times).toFixed(1) : '',
    transforms: runs(w) - before.runs,
    heap: `${(heap() - before.heap).toFixed(1)} MB`,
  });
}

const warmup = world();
load(warmup, 2000, 200);
warmup.graph.flush();
for (let i = 0; i < 20; i++) byHand(warmup.pods.list(), warmup.services.list());
for (let i = 0; i < 2000; i++) {
  warmup.pods.set(pod(i, '10.9.9.9'));
  warmup.graph.flush();
}

const w = world();
measure('10,000 pods x 1,000 services: write the sources', w, 11_000, () => load(w, 10_000, 1000));
measure('10,000 pods x 1,000 services: settle', w, 1, () => w.graph.flush());
measure('the same by hand, from scratch', w, 1, () => {
  if (byHand(w.pods.list(), w.services.list()).size !== w.endpoints.size) throw new Error('krt and the hand-written result differ');
});
measure('one pod changes, flush; x 1,000', w, 1000, () => {
  for (let i = 0; i < 1000; i++) {
    w.pods.set(pod(i * 7, `10.200.${i >> 8}.${i & 255}`));
    w.graph.flush();
  }
});
measure('one service relabelled in a namespace of 100 pods', w, 1, () => {
  w.services.set(service(5, 'app-6'));
  w.graph.flush();
});
measure('services relabelled, flush; x 500', w, 500, () => {
  for (let i = 100; i < 600; i++) {
    w.services.set(service(i, `app-${(i + 1) % appsPerNamespace}`));
    w.graph.flush();
  }
});
measure('1,000 identical writes, one flush', w, 1000, () => {
  for (let i = 9000; i < 10_000; i++) w.pods.set(pod(i));
  w.graph.flush();
});

const direct = new Graph({ schedule: () => {}, assertions: false });
const items = source<Pod>(direct, { name: 'Items', key: (p) => p.name });
group(
  direct,
  { name: 'Groups' },
  items.index('ns', (p) => [p.ns]),
);
items.markSynced();
for (let i = 0; i < 4000; i++) items.set({ ...pod(i), ns: 'ns' });
direct.flush();
measure('one change in a group of 4,000, flush; x 1,000', w, 1000, () => {
  for (let i = 0; i < 1000; i++) {
    items.set({ ...pod(i, '10.77.7.7'), ns: 'ns' });
    direct.flush();
  }
});

const large = world();
measure('50,000 pods x 5,000 services: write the sources', large, 55_000, () => load(large, 50_000, 5000));
measure('50,000 pods x 5,000 services: settle', large, 1, () => large.graph.flush());
measure('one pod of 50,000 changes, flush; x 1,000', large, 1000, () => {
  for (let i = 0; i < 1000; i++) {
    large.pods.set(pod(i * 31, `10.201.${i >> 8}.${i & 255}`));
    large.graph.flush();
  }
});

measure('the same by hand, from scratch', large, 1, () => byHand(large.pods.list(), large.services.list()));

console.table(rows);
