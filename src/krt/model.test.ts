import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Collection, Event } from './index.ts';
import { flatMap, Graph, group, join, map, singleton, source } from './index.ts';

/**
 * Random operations with flushes anywhere between them. The same wiring over the same sources, computed from scratch in one flush, is the model:
 * the incremental state must equal it, and replaying the events of each collection must give its state.
 *
 *   Pods, Services, Namespaces, Extra ──> Workloads (key, index + where, scan) ──> Members (group) ──> Endpoints (keyed fetch) ──> Summary
 *                                          Ports (flatMap whose keys move) ──┴──> Everything (join)
 */
interface Pod {
  readonly ns: string;
  readonly name: string;
  readonly app: string;
  readonly ports: readonly number[];
}
interface Service {
  readonly ns: string;
  readonly name: string;
  readonly app: string;
  readonly owner: string;
}
interface Namespace {
  readonly name: string;
  readonly waypoint: string;
  readonly global: boolean;
}

interface Endpoint {
  readonly service: string;
  readonly owner: string | undefined;
  readonly members: readonly string[];
}
interface Port {
  readonly port: number;
  readonly pod: string;
}

type Operation =
  | { readonly type: 'pod'; readonly pod: Pod }
  | { readonly type: 'service'; readonly service: Service }
  | { readonly type: 'namespace'; readonly namespace: Namespace }
  | { readonly type: 'delete'; readonly kind: 'pods' | 'services' | 'namespaces'; readonly key: string }
  | { readonly type: 'reset'; readonly pods: readonly Pod[] }
  | { readonly type: 'flush' };

function wire(verifyPurity = false) {
  const graph = new Graph({
    schedule: () => {},
    verifyPurity,
    onError: (collection, key, error) => {
      throw new Error(`${collection} ${key}`, { cause: error });
    },
  });
  const pods = source<Pod>(graph, { name: 'Pods', key: (p) => `${p.ns}/${p.name}` });
  const services = source<Service>(graph, { name: 'Services', key: (s) => `${s.ns}/${s.name}` });
  const namespaces = source<Namespace>(graph, { name: 'Namespaces', key: (n) => n.name });
  const byNamespace = services.index('namespace', (s) => [s.ns]);

  const workloads = map(graph, pods, { name: 'Workloads' }, (ctx, p, key) => {
    if (p.app === 'none') return undefined;
    const namespace = ctx.fetchOne(namespaces, p.ns);
    const local = ctx.fetch(services, { index: byNamespace, is: p.ns, where: (s) => s.app === p.app });
    // What is read depends on what was read before: the recorded dependencies must follow.
    const remote = namespace?.global ? ctx.fetch(services, { where: (s) => s.ns !== p.ns && s.app === p.app }) : [];
    const names = [...local, ...remote].map((s) => `${s.ns}/${s.name}`).sort();
    return { key, services: names, waypoint: namespace?.waypoint, owners: names.map((n) => ctx.fetchOne(services, n)?.owner) };
  });
  const members = group(
    graph,
    { name: 'Members' },
    workloads.index('service', (w) => w.services),
  );
  const endpoints = map(graph, members, { name: 'Endpoints', key: (e: Endpoint) => `endpoints/${e.service}` }, (ctx, m) => {
    const owner = ctx.fetchOne(services, m.key)?.owner;
    return { service: m.key, owner, members: m.items.map((w) => w.key).sort() };
  });
  // The lowest-named pod of a port has it: the key moves between inputs as pods come and go.
  const byPort = pods.index('port', (p) => p.ports.map(String));
  const ports = flatMap(graph, pods, { name: 'Ports', key: (o: Port) => `port/${o.port}` }, (ctx, p) =>
    [...new Set(p.ports)]
      .filter((port) => ctx.fetch(pods, { index: byPort, is: String(port) }).every((o) => `${o.ns}/${o.name}` >= `${p.ns}/${p.name}`))
      .map((port) => ({ port, pod: `${p.ns}/${p.name}` })),
  );
  const everything = join<Endpoint | Port>(graph, { name: 'Everything' }, [endpoints, ports]);
  const summary = singleton(graph, { name: 'Summary' }, (ctx) => ({
    objects: ctx.fetch(everything).length,
    ports: ctx
      .fetch(ports, { keys: ['port/1', 'port/2', 'port/1'] })
      .map((p) => p.pod)
      .sort(),
    waypoints: ctx.fetch(workloads, { where: (w) => w.waypoint === 'w1' }).length,
  }));
  const all: Collection<unknown>[] = [pods, services, namespaces, workloads, members, endpoints, ports, everything, summary];
  return { graph, pods, services, namespaces, endpoints, everything, all };
}

type World = ReturnType<typeof wire>;

function apply(w: World, op: Operation): void {
  if (op.type === 'pod') w.pods.set(op.pod);
  else if (op.type === 'service') w.services.set(op.service);
  else if (op.type === 'namespace') w.namespaces.set(op.namespace);
  else if (op.type === 'delete') w[op.kind].delete(op.key);
  else if (op.type === 'reset') w.pods.reset(op.pods);
  else w.graph.flush();
}

function contents(w: World, c: Collection<unknown>): Map<string, unknown> {
  const keys = w.graph.dump({ collections: [c.name] }).collections[0]?.keys ?? [];
  return new Map(keys.map((key) => [key, c.get(key)]));
}

/** The order of a group's items is undefined. */
function canonical(state: Map<string, unknown>): Map<string, unknown> {
  const sorted = new Map<string, unknown>();
  for (const [key, value] of state) {
    const items = (value as { items?: readonly { key: string }[] }).items;
    sorted.set(key, items ? { key, items: items.toSorted((a, b) => (a.key < b.key ? -1 : 1)) } : value);
  }
  return sorted;
}

const name = (...names: string[]) => fc.constantFrom(...names);
const pod: fc.Arbitrary<Pod> = fc.record({
  ns: name('n1', 'n2', 'n3'),
  name: name('p1', 'p2', 'p3', 'p4'),
  app: name('a', 'b', 'none'),
  ports: fc.array(fc.constantFrom(1, 2, 3), { maxLength: 3 }),
});
const service: fc.Arbitrary<Service> = fc.record({
  ns: name('n1', 'n2', 'n3'),
  name: name('s1', 's2'),
  app: name('a', 'b'),
  owner: name('u', 'v'),
});
const namespace: fc.Arbitrary<Namespace> = fc.record({ name: name('n1', 'n2', 'n3'), waypoint: name('w1', 'w2'), global: fc.boolean() });
const objectKey = fc.oneof(
  fc.tuple(name('n1', 'n2', 'n3'), name('p1', 'p2', 'p3', 'p4', 's1', 's2')).map(([a, b]) => `${a}/${b}`),
  name('n1', 'n2', 'n3'),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 5, arbitrary: pod.map((pod) => ({ type: 'pod', pod }) as const) },
  { weight: 4, arbitrary: service.map((service) => ({ type: 'service', service }) as const) },
  { weight: 2, arbitrary: namespace.map((namespace) => ({ type: 'namespace', namespace }) as const) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom('pods', 'services', 'namespaces'), objectKey)
      .map(([kind, key]) => ({ type: 'delete', kind, key }) as const),
  },
  { weight: 1, arbitrary: fc.array(pod, { maxLength: 6 }).map((pods) => ({ type: 'reset', pods }) as const) },
  { weight: 5, arbitrary: fc.constant({ type: 'flush' } as const) },
);

function replay(state: Map<string, unknown>, events: readonly Event<unknown>[]): void {
  for (const e of events) {
    if (e.type === 'add') expect(state.has(e.key)).toBe(false);
    else expect(state.get(e.key)).toEqual(e.old); // Not toBe: a source replaces equal objects silently.
    if (e.type === 'delete') state.delete(e.key);
    else state.set(e.key, e.new);
  }
}

function check(operations: readonly Operation[], verifyPurity: boolean): void {
  const w = wire(verifyPurity);
  const replayed = new Map<Collection<unknown>, Map<string, unknown>>();
  for (const c of w.all) {
    const state = new Map<string, unknown>();
    replayed.set(c, state);
    c.subscribe((events) => {
      expect(new Set(events.map((e) => e.key)).size).toBe(events.length);
      replay(state, events);
    });
  }
  for (const c of [w.pods, w.services, w.namespaces]) c.markSynced();
  for (const op of [...operations, { type: 'flush' } as const]) {
    apply(w, op);
    if (op.type !== 'flush') continue;
    const fresh = wire();
    fresh.pods.reset(w.pods.list());
    fresh.services.reset(w.services.list());
    fresh.namespaces.reset(w.namespaces.list());
    for (const c of [fresh.pods, fresh.services, fresh.namespaces]) c.markSynced();
    fresh.graph.flush();
    for (const [i, c] of w.all.entries()) {
      const state = contents(w, c);
      expect([c.name, canonical(state)]).toEqual([c.name, canonical(contents(fresh, fresh.all[i] as Collection<unknown>))]);
      expect(state).toEqual(replayed.get(c));
      expect(c.size).toBe(c.list().length);
    }
  }
}

test('incremental state equals state from scratch, and events replay to it', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (operations) => check(operations, false)),
    { numRuns: 300 },
  );
});

test('transforms of the model are pure', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40, size: 'max' }), (operations) => check(operations, true)),
    { numRuns: 30 },
  );
});
