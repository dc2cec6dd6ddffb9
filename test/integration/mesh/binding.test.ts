// Whose waypoint serves what: istiod's conditions say the same as our binding, for every row of the table, from the same objects.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { KubeClient } from '../../../src/kube/client.ts';
import {
  GatewayClasses,
  Gateways,
  Namespaces,
  ServiceEntries,
  Services,
  WorkloadEntries,
  resourceOf,
} from '../../../src/kube/resources.ts';
import type { Resource } from '../../../src/kube/resources.ts';
import type { GatewayClass } from '../../../src/kube/types/gateway-api.ts';
import type { Condition, KubeObject } from '../../../src/kube/types/meta.ts';
import { groupOf, keyOf } from '../../../src/kube/types/meta.ts';
import {
  type BindingRow,
  bindingRows,
  foreignClass,
  namespaceOf,
  ownClass,
  rowObjects,
  sharedObjects,
  waypointNamespace,
} from '../../../src/waypoint/testing/binding-rows.ts';
import { conditionOf } from '../../../src/waypoint/testing/condition.ts';
import { type MeshGraph, meshGraph } from '../../../src/waypoint/testing/mesh-graph.ts';
import { clusterClient } from '../cluster.ts';
import { ensureIstio } from './istio.ts';

const ours = 'kgateway.dev/kgateway';
let client: KubeClient;
let mesh: MeshGraph;

/** To istiod all classes are alike, and a controller in the cluster is to leave these Gateways alone. */
function forCluster(o: KubeObject): KubeObject {
  const spec = (o as Partial<GatewayClass>).spec;
  return spec?.controllerName === ours ? ({ ...o, spec: { ...spec, controllerName: 'example.com/own' } } as KubeObject) : o;
}
function fromCluster(o: GatewayClass): GatewayClass {
  return o.metadata.name === ownClass ? { ...o, spec: { ...o.spec, controllerName: ours } } : o;
}

async function apply(object: KubeObject): Promise<void> {
  const resource = resourceOf(groupOf(object.apiVersion), object.kind);
  if (!resource) throw new Error(`no resource for ${object.kind}`);
  await client.apply(resource, object, { fieldManager: 'kgateway-test' });
  if (object.kind !== 'Gateway') return;
  // A Gateway without an address is no waypoint to istiod.
  const host = `${object.metadata.name}.${object.metadata.namespace}.svc.cluster.local`;
  await client.patch(Gateways, keyOf(object), { status: { addresses: [{ type: 'Hostname', value: host }] } }, { subresource: 'status' });
}

async function target(row: BindingRow): Promise<KubeObject | undefined> {
  const resource: Resource = row.kind === 'WorkloadEntry' ? WorkloadEntries : row.kind === 'ServiceEntry' ? ServiceEntries : Services;
  return client.get(resource, `${namespaceOf(row)}/target`);
}

async function istiodSays(row: BindingRow): Promise<Pick<Condition, 'status' | 'reason' | 'message'> | undefined> {
  const { status } = ((await target(row)) ?? {}) as { status?: { conditions?: readonly Condition[] } };
  const found = status?.conditions?.find((c) => c.type === 'istio.io/WaypointBound');
  return found && { status: found.status, reason: found.reason, message: found.message };
}

const namespaces = [waypointNamespace, ...bindingRows.map(namespaceOf)];

beforeAll(async () => {
  client = await clusterClient();
  await ensureIstio(client);
  for (const object of sharedObjects()) await apply(forCluster(object));
  for (const row of bindingRows) for (const object of rowObjects(row)) await apply(object);

  await vi.waitFor(
    async () => {
      for (const row of bindingRows) {
        const said = await istiodSays(row);
        expect(said?.message ?? '', row.name).toContain(row.condition?.message ?? '');
        expect(said?.reason, row.name).toBe(row.condition?.reason);
      }
    },
    { timeout: 60_000, interval: 500 },
  );
  const all = await Promise.all([
    client.list(Gateways),
    client.list(Namespaces),
    client.list(Services),
    client.list(ServiceEntries),
    client.list(WorkloadEntries),
  ]);
  const classes = (await client.list(GatewayClasses)).items.map(fromCluster);
  // Lists leave out what every item has in common.
  const kinds = [Gateways, Namespaces, Services, ServiceEntries, WorkloadEntries];
  mesh = meshGraph([
    ...classes.map((c) => ({ ...c, kind: 'GatewayClass' as const })),
    ...all.flatMap((l, i) => l.items.map((o) => ({ ...o, kind: kinds[i]?.kind ?? '' }))),
  ]);
}, 240_000);

afterAll(async () => {
  await Promise.all(namespaces.map((name) => client.delete(Namespaces, name)));
  await Promise.all([ownClass, foreignClass].map((name) => client.delete(GatewayClasses, name)));
  await client.close();
});

test.each(bindingRows)('$name', async (row) => {
  const services = mesh.api.services.list().map(({ of: { service }, binding }) => ({ of: service, binding }));
  const workloads = mesh.api.workloads.list().map(({ of: { workload }, binding }) => ({ of: workload, binding }));
  const found = [...services, ...workloads].find(({ of }) => of.namespace === namespaceOf(row) && of.name === 'target');
  const said = await istiodSays(row);
  expect(conditionOf(found?.binding)).toEqual(said);
  expect(said?.status).toBe(row.condition?.status);
});

test('without its addresses a waypoint is not ready to istiod', async () => {
  const row = bindingRows.find((r) => r.name === 'own-namespace');
  if (!row) throw new Error('no such row');
  await client.patch(Gateways, `${namespaceOf(row)}/own`, { status: { addresses: null } }, { subresource: 'status' });
  await vi.waitFor(async () => expect(await istiodSays(row)).toMatchObject({ status: 'False', reason: 'WaypointIsNotReady' }), 20_000);
});
