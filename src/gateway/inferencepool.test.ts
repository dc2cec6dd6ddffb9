import { expect, test } from 'vitest';
import { Graph, map, source } from '../krt/index.ts';
import type { Service } from '../kube/types/core.ts';
import type { InferencePool } from '../kube/types/inference.ts';
import { keyOf } from '../kube/types/meta.ts';
import type { ResolvedBackend } from './backendref.ts';
import { gatewayGroup } from './conditions.ts';
import { inferencePoolBackends, inferencePools } from './inferencepool.ts';
import { serviceViews } from './views.ts';

const pool = (spec: Partial<InferencePool['spec']>): InferencePool => ({
  apiVersion: 'inference.networking.k8s.io/v1',
  kind: 'InferencePool',
  metadata: { name: 'llama', namespace: 'ns' },
  spec: { selector: { matchLabels: { app: 'llama' } }, targetPorts: [{ number: 8000 }], ...spec },
});

const picker = (port: NonNullable<Service['spec']['ports']>[number], type?: 'ExternalName'): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'picker', namespace: 'ns' },
  spec: { ports: [port], ...(type && { type }) },
});

/** What a reference of a route of this kind comes to. */
function resolved(objects: { readonly pool?: InferencePool; readonly service?: Service; readonly enabled?: boolean }, kind = 'HTTPRoute') {
  const graph = new Graph({ schedule: () => {}, assertions: true });
  const pools = source<InferencePool>(graph, { name: 'InferencePool', key: keyOf });
  const services = source<Service>(graph, { name: 'Service', key: keyOf });
  const views = inferencePools(graph, pools, serviceViews(graph, services));
  const backends = inferencePoolBackends(objects.enabled === false ? undefined : views);
  const asked = source<{ readonly key: string }>(graph, { name: 'asked', key: (a) => a.key });
  const out = map(graph, asked, { name: 'out', key: (o: { key: string }) => o.key }, (ctx, { key }) => ({
    key,
    answer: backends.resolve(ctx, { group: gatewayGroup, kind, namespace: 'ns' }, { namespace: 'ns', name: 'llama', port: 1 }),
  }));
  asked.set({ key: 'ref' });
  if (objects.pool) pools.set(objects.pool);
  if (objects.service) services.set(objects.service);
  for (const s of [pools, services, asked]) s.markSynced();
  while (graph.dirty) graph.flush();
  return out.get('ref')?.answer as ResolvedBackend;
}

const ref = { name: 'picker', port: { number: 9002 } };

test.each([
  ['switched off', { enabled: false }, 'InvalidKind', /inferenceExtension\.enabled/],
  ['no pool', {}, 'BackendNotFound', /InferencePool ns\/llama not found/],
  ['no picker', { pool: pool({}) }, 'BackendNotFound', /endpointPickerRef is required/],
  ['no Service', { pool: pool({ endpointPickerRef: ref }) }, 'BackendNotFound', /Service ns\/picker not found/],
  [
    'another port',
    { pool: pool({ endpointPickerRef: ref }), service: picker({ port: 1 }) },
    'BackendNotFound',
    /no TCP port 9002; it has 1/,
  ],
  [
    'a Service that could lead anywhere',
    { pool: pool({ endpointPickerRef: ref }), service: picker({ port: 9002 }, 'ExternalName') },
    'BackendNotFound',
    /ExternalName/,
  ],
  [
    'another kind',
    { pool: pool({ endpointPickerRef: { name: 'p', group: 'example.com', kind: 'Picker' } }) },
    'BackendNotFound',
    /use a Service/,
  ],
] as const)('%s: unresolved', (_case, objects, reason, message) => {
  expect(resolved(objects)).toMatchObject({ ok: false, reason, message: expect.stringMatching(message) as string });
});

test('other kinds of routes cannot lead to a pool', () => {
  const objects = { pool: pool({ endpointPickerRef: ref }), service: picker({ port: 9002 }) };
  for (const kind of ['TCPRoute', 'TLSRoute', 'UDPRoute'])
    expect(resolved(objects, kind)).toMatchObject({ ok: false, reason: 'InvalidKind' });
  for (const kind of ['HTTPRoute', 'GRPCRoute']) expect(resolved(objects, kind)).toMatchObject({ ok: true });
});

test('FailOpen holds for a picker that is not there, not for one that is not named', () => {
  expect(resolved({ pool: pool({ endpointPickerRef: { ...ref, failureMode: 'FailOpen' } }) })).toMatchObject({
    ok: true,
    pool: 'ns/llama',
  });
});

test.each([
  [undefined, { sni: '', trust: 'anybody' }],
  ['http2', { sni: '', trust: 'anybody' }],
  ['kubernetes.io/h2c', undefined],
])('appProtocol %s of the picker', (appProtocol, tls) => {
  const service = picker({ port: 9002, ...(appProtocol && { appProtocol }) });
  const answer = resolved({ pool: pool({ endpointPickerRef: ref }), service });
  expect(answer.ok && answer.picker).toMatchObject({ failOpen: false, authority: 'picker.ns.svc:9002' });
  const found = answer.ok && answer.picker ? answer.picker.cluster.tls : 'no picker';
  if (tls) expect(found).toMatchObject(tls);
  else expect(found).toBeUndefined();
});
