/** The graph over changes: whatever comes in which order, what is computed step by step is what would be computed from nothing. */
import * as fc from 'fast-check';
import { loadAll } from 'js-yaml';
import { expect, test } from 'vitest';
import { goldenCases, readGolden } from '../cmd/golden.ts';
import { objectSources } from '../cmd/object-sources.ts';
import { createSources } from '../cmd/sources.ts';
import { type Wiring, wire } from '../cmd/wiring.ts';
import { refKey } from '../ir/object-ref.ts';
import { Graph, map } from '../krt/index.ts';
import { type KubeObject, keyOf } from '../kube/types/meta.ts';
import { TypeUrl, xdsResourceKey } from '../xds/resource.ts';
import { podBinding } from '../xds/translate/listener.ts';

interface Running {
  readonly graph: Graph;
  readonly wiring: Wiring;
  readonly put: (object: KubeObject) => void;
  readonly remove: (object: KubeObject) => void;
}

function start(objects: Iterable<KubeObject>): Running {
  const graph = new Graph({
    schedule: () => {},
    assertions: true,
    onError: (collection, key, error) => {
      throw new Error(`${collection} ${key}`, { cause: error });
    },
  });
  const sources = createSources(graph);
  const wiring = wire(graph, sources, {
    waypoints: true,
    inference: true,
    bind: podBinding,
    addresses: (gateways) => map(graph, gateways, { name: 'Addresses' }, (_ctx, view) => ({ gateway: view.key, addresses: ['192.0.2.1'] })),
  });
  const byKind = objectSources(sources);
  for (const object of objects) byKind[object.kind]?.set(object);
  for (const source of Object.values(byKind)) source.markSynced();
  const flush = (): void => {
    while (graph.dirty) graph.flush();
  };
  flush();
  return {
    graph,
    wiring,
    put: (object) => {
      byKind[object.kind]?.set(object);
      flush();
    },
    remove: (object) => {
      byKind[object.kind]?.delete(keyOf(object));
      flush();
    },
  };
}

function outputOf({ wiring }: Running) {
  const byText = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);
  return {
    resources: wiring.resources
      .list()
      .map((r) => [xdsResourceKey(r), r.version] as const)
      .sort(byText),
    statuses: wiring.statuses
      .list()
      .map((s) => [refKey(s.object), s] as const)
      .sort(byText),
    wanted: [wiring.wanted.secrets, wiring.wanted.configMaps].map((c) =>
      c
        .list()
        .map((w) => w.key)
        .sort(),
    ),
  };
}

let generation = 0;

/** As stored by an API server: each write has a version of its own. */
function stored(object: KubeObject): KubeObject {
  generation++;
  const namespaced = object.kind !== 'GatewayClass' && object.kind !== 'Namespace';
  const metadata = { creationTimestamp: '2026-01-01T00:00:00Z', uid: 'u', ...(namespaced && { namespace: 'default' }), ...object.metadata };
  return { ...object, metadata: { ...metadata, generation, resourceVersion: String(generation) } };
}

const pool = goldenCases().flatMap((file) => (loadAll(readGolden(file).input) as KubeObject[]).filter((o) => o?.kind));

test('step by step is the same as from nothing, for the objects of all goldens in any order', () => {
  const step = fc.record({ remove: fc.boolean(), index: fc.nat(pool.length - 1) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 60 }), (steps) => {
      const objects = new Map<string, KubeObject>();
      const running = start([]);
      // Most of the pool is there from the start, so that changes have something to meet.
      const all = [...pool.keys()].filter((i) => i % 3 !== 0).map((index) => ({ remove: false, index }));
      for (const [i, { remove, index }] of [...all, ...steps].entries()) {
        const template = pool[index];
        if (!template) continue;
        const object = stored(template);
        const key = `${object.kind} ${keyOf(object)}`;
        if (remove) {
          objects.delete(key);
          running.remove(object);
        } else {
          objects.set(key, object);
          running.put(object);
        }
        if (i >= all.length && i % 10 === 0) expect(outputOf(running)).toEqual(outputOf(start(objects.values())));
      }
      expect(outputOf(running)).toEqual(outputOf(start(objects.values())));
    }),
    { numRuns: 5 },
  );
}, 240_000);

const small = (loadAll(readGolden('endpoints.yaml').input) as KubeObject[]).filter((o) => o?.kind).map(stored);

/** Runs a change and returns which collections computed something, and which resources differ. */
function effectOf(
  running: Running,
  change: () => void,
): { readonly transforms: Record<string, number>; readonly changed: readonly string[] } {
  const before = new Map(running.graph.stats().map((s) => [s.name, s.transforms]));
  const versions = new Map(running.wiring.resources.list().map((r) => [xdsResourceKey(r), r]));
  change();
  const transforms = running.graph
    .stats()
    .map((s) => [s.name, s.transforms - (before.get(s.name) ?? 0)] as const)
    .filter(([, count]) => count > 0);
  const changed = running.wiring.resources.list().filter((r) => versions.get(xdsResourceKey(r))?.version !== r.version);
  return { transforms: Object.fromEntries(transforms), changed: changed.map((r) => r.type) };
}

test('an address of a Pod changes one resource, and nothing else is computed', () => {
  const running = start(small);
  const slice = structuredClone(small.find((o) => o.metadata.name === 'a-1')) as KubeObject & { endpoints: { addresses: string[] }[] };
  slice.endpoints = [{ addresses: ['10.9.9.9'] }];
  const { transforms, changed } = effectOf(running, () => running.put(stored(slice)));
  expect(changed).toEqual([TypeUrl.endpoint]);
  expect(transforms).toEqual({ ServiceEndpoints: 1, EndpointBytes: 1, EndpointResources: 1 });
});

test('a new certificate changes one resource, and no Gateway is looked at', () => {
  const objects = (loadAll(readGolden('https-certificates.yaml').input) as KubeObject[]).filter((o) => o?.kind);
  const running = start(objects.map(stored));
  const pair = (name: string) => objects.find((o) => o.kind === 'Secret' && o.metadata.name === name) as KubeObject & { data: unknown };
  const { transforms, changed } = effectOf(running, () => running.put(stored({ ...pair('one'), data: pair('two').data } as KubeObject)));
  expect(changed).toEqual([TypeUrl.secret]);
  expect(transforms).toEqual({ ParsedSecrets: 1, KeyPairs: 1, SecretStates: 1, SecretResources: 1 });
});

test('a status write of a route computes nothing', () => {
  const running = start(small);
  const route = small.find((o) => o.kind === 'HTTPRoute');
  const { transforms } = effectOf(running, () => {
    if (route) running.put({ ...route, status: { parents: [] }, metadata: { ...route.metadata, resourceVersion: 'next' } } as KubeObject);
  });
  expect(transforms).toEqual({});
});

test('a change of one route leaves the scopes of other hosts and all listeners alone', () => {
  const other = structuredClone(small.find((o) => o.kind === 'HTTPRoute')) as KubeObject & {
    spec: { hostnames: string[]; rules: unknown[] };
  };
  const running = start(small);
  const added = effectOf(running, () =>
    running.put(
      stored({
        ...other,
        metadata: { ...other.metadata, name: 'other' },
        spec: { ...other.spec, hostnames: ['other.example.com'] },
      } as KubeObject),
    ),
  );
  expect(added.changed).toEqual([TypeUrl.scopedRoute]);
  expect(added.transforms['ScopeResources']).toBe(1);
  expect(added.transforms['ListenerResources']).toBeUndefined();
});

test('of many children of one rule, a change of one computes that one', () => {
  const objects = (loadAll(readGolden('delegation-policies.yaml').input) as KubeObject[]).filter((o) => o?.kind);
  type Route = KubeObject & { spec: { rules: { matches?: { path?: { value?: string } }[] }[] } };
  const child = objects.find((o) => o.metadata.name === 'child' && o.kind === 'HTTPRoute') as Route;
  const childAt = (i: number, path: string): KubeObject =>
    stored({
      ...child,
      metadata: { namespace: 'team1', name: `child-${i}` },
      spec: { rules: [{ ...child.spec.rules[0], matches: [{ path: { type: 'PathPrefix', value: path } }] }] },
    } as KubeObject);
  const rest = objects.filter((o) => !(o.kind === 'HTTPRoute' && o.metadata.name === 'strict') && o !== child);
  const running = start([...rest.map(stored), ...Array.from({ length: 200 }, (_, i) => childAt(i, `/team1/${i}`))]);
  const { transforms, changed } = effectOf(running, () => running.put(childAt(7, '/team1/seven')));
  expect(changed).toEqual([TypeUrl.scopedRoute]);
  for (const [name, count] of Object.entries(transforms)) expect(count, name).toBe(1);
  // The rule of the parent is asked again only when the first child comes or the last one goes.
  const gone = effectOf(running, () => running.remove(childAt(7, '')));
  expect(gone.transforms['ServedRoutes']).toBeUndefined();
}, 30_000);
