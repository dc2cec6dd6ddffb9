import { expect, test } from 'vitest';
import type { KubeObject } from '../kube/types/meta.ts';
import type { Binding } from './binding.ts';
import { bindingRows, namespaceOf, rowObjects, sharedObjects, waypointNamespace } from './testing/binding-rows.ts';
import { conditionOf } from './testing/condition.ts';
import { meshGraph } from './testing/mesh-graph.ts';

const all = [...sharedObjects(), ...bindingRows.flatMap(rowObjects)];

test.each(bindingRows)('$name', (row) => {
  const { api } = meshGraph([...sharedObjects(), ...rowObjects(row)]);
  const [binding] = [...api.services.list(), ...api.workloads.list()];
  const condition = conditionOf(binding?.binding);
  if (!row.condition) expect(condition).toBeUndefined();
  else {
    expect(condition).toMatchObject({ status: row.condition.status, reason: row.condition.reason });
    expect(condition?.message).toContain(row.condition.message);
  }
  const services = api.boundServices.list().map((b) => `${b.waypoint} ${b.weight}`);
  const served = [...services, ...api.boundWorkloads.list().map((b) => `${b.waypoint} 100`)];
  expect(served.toSorted()).toEqual(row.served);
});

test('one changed Service changes its own entry alone', () => {
  const { api, graph, put } = meshGraph(all);
  const changed: string[] = [];
  api.boundServices.subscribe((events) => changed.push(...events.map((e) => `${e.type} ${e.key}`)));
  const row = bindingRows.find((r) => r.name === 'service');
  const service = row && rowObjects(row).find((o) => o.kind === 'Service');
  if (!row || !service) throw new Error('no such row');
  const counts = (): Map<string, number> => new Map(transformsOf());
  const before = counts();
  put({ ...service, metadata: { ...service.metadata, labels: {} } });
  expect(changed).toEqual([`delete ${waypointNamespace}/open|${namespaceOf(row)}/target.${namespaceOf(row)}.svc.cluster.local`]);
  const ran = [...counts()].map(([name, n]) => [name, n - (before.get(name) ?? 0)] as const).filter(([, n]) => n > 0);
  expect(new Map(ran)).toEqual(
    new Map([
      ['ServiceHosts', 1],
      ['MeshServices', 1],
      ['ServiceBindings', 1],
      ['BoundServices', 1],
      ['ServiceEntryEndpoints', 1],
    ]),
  );

  function transformsOf(): [string, number][] {
    return graph.stats().map((s) => [s.name, s.transforms]);
  }
});

const workload = (kind: 'Pod' | 'WorkloadEntry', namespace: string, labels: Record<string, string>): KubeObject => ({
  apiVersion: kind === 'Pod' ? 'v1' : 'networking.istio.io/v1',
  kind,
  metadata: { name: 'w', namespace, labels },
  ...(kind === 'Pod'
    ? { spec: { containers: [] }, status: { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] } }
    : { spec: { address: '10.0.0.1' } }),
});
const shared = (name: string): Record<string, string> => ({
  'istio.io/use-waypoint': name,
  'istio.io/use-waypoint-namespace': waypointNamespace,
});

interface WorkloadRow {
  readonly name: string;
  readonly namespace?: Record<string, string>;
  readonly own?: Record<string, string>;
  readonly in?: string;
  readonly state: Binding['state'];
}

const workloadRows: readonly WorkloadRow[] = [
  { name: 'no label', state: 'none' },
  { name: 'for workloads', own: shared('workloads'), state: 'bound' },
  { name: 'for all', own: shared('all'), state: 'bound' },
  { name: 'inherited, for all', namespace: shared('all'), state: 'bound' },
  { name: 'for services', own: shared('open'), state: 'refused' },
  { name: 'inherited, for services: none, and no mistake', namespace: shared('open'), state: 'none' },
  { name: 'inherited, missing', namespace: shared('missing'), state: 'refused' },
  { name: 'opted out', namespace: shared('all'), own: { 'istio.io/use-waypoint': 'none' }, state: 'none' },
  {
    name: 'of a waypoint itself',
    namespace: shared('all'),
    own: { 'gateway.networking.k8s.io/gateway-name': 'open' },
    in: waypointNamespace,
    state: 'none',
  },
];

test.each(workloadRows.flatMap((r) => (['Pod', 'WorkloadEntry'] as const).map((kind) => ({ ...r, kind }))))('$kind: $name', (row) => {
  const namespace = row.in ?? 'apps';
  const { api } = meshGraph([
    ...sharedObjects(),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: row.namespace ?? {} } },
    workload(row.kind, namespace, row.own ?? {}),
  ]);
  expect(api.workloads.list().map((w) => w.binding.state)).toEqual([row.state]);
  expect(api.boundWorkloads.size).toBe(row.state === 'bound' ? 1 : 0);
});
