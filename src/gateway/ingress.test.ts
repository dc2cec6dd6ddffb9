import { expect, test } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import type { Service } from '../kube/types/core.ts';
import type { Ingress, IngressClass } from '../kube/types/ingress.ts';
import { keyOf } from '../kube/types/meta.ts';
import { ingressClassView } from './ingress.ts';
import { ingressCollections } from './ingress-collections.ts';

const ingressClass = (name: string, spec: IngressClass['spec'], byDefault = false): IngressClass => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IngressClass',
  metadata: { name, uid: name, ...(byDefault && { annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } }) },
  spec,
});
const ours = { controller: 'kgateway.dev/kgateway' };

const ingress = (name: string, spec: Ingress['spec'], created = '2026-01-01T00:00:00Z'): Ingress => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name, namespace: 'ns', creationTimestamp: created },
  spec,
});

function rig() {
  const graph = new Graph({ schedule: () => {}, assertions: true });
  const ingresses = source<Ingress>(graph, { name: 'Ingress', key: keyOf });
  const ingressClasses = source<IngressClass>(graph, { name: 'IngressClass', key: keyOf });
  const services = source<Service>(graph, { name: 'Service', key: keyOf });
  const out = ingressCollections(graph, { ingresses, ingressClasses, services }, 'system');
  for (const s of [ingresses, ingressClasses, services]) s.markSynced();
  const flush = (): void => {
    while (graph.dirty) graph.flush();
  };
  return { graph, ingresses, ingressClasses, services, flush, ...out };
}

test.each([
  [undefined, 'system/web-ingress'],
  [{ apiGroup: 'gateway.kgateway.dev', kind: 'GatewayParameters', name: 'p', namespace: 'edge' }, 'edge/web-ingress'],
  [{ apiGroup: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'shared', namespace: 'edge' }, 'edge/shared'],
])('parameters of a class choose its Gateway: %o', (parameters, gateway) => {
  expect(ingressClassView(ingressClass('web', { ...ours, ...(parameters && { parameters }) }), 'system')?.gateway).toBe(gateway);
});

test('a Gateway is made for a class of ours that names none, and owned by it', () => {
  const r = rig();
  r.ingressClasses.set(ingressClass('web', ours));
  r.ingressClasses.set(ingressClass('other', { controller: 'example.com/other' }));
  r.ingressClasses.set(
    ingressClass('shared', { ...ours, parameters: { apiGroup: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'g', namespace: 'n' } }),
  );
  r.flush();
  expect(r.gateways.list().map((g) => [keyOf(g), g.metadata.ownerReferences?.[0]?.uid])).toEqual([['system/web-ingress', 'web']]);
});

test('an Ingress without a class is of the default one, as long as there is one', () => {
  const r = rig();
  r.ingresses.set(ingress('a', { rules: [{ host: 'A.example.com', http: { paths: [] } }] }));
  r.flush();
  expect(r.views.size).toBe(0);
  r.ingressClasses.set(ingressClass('web', ours, true));
  r.flush();
  expect(r.views.list().map((v) => [v.gateway, ...v.hosts.keys()])).toEqual([['system/web-ingress', 'a.example.com']]);
  r.ingressClasses.delete('web');
  r.flush();
  expect(r.views.size).toBe(0);
});

test('of several Ingresses with a certificate for one host the oldest has the listener, and routes of all attach to it', () => {
  const r = rig();
  r.ingressClasses.set(ingressClass('web', ours, true));
  const spec = (secretName: string): Ingress['spec'] => ({
    tls: [{ hosts: ['a.example.com'], secretName }],
    rules: [{ host: 'a.example.com', http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 's' } } }] } }],
  });
  r.ingresses.set(ingress('younger', spec('two'), '2026-02-01T00:00:00Z'));
  r.ingresses.set(ingress('older', spec('one')));
  r.flush();
  expect(r.listenerSets.list().map(({ set }) => [keyOf(set), set.spec.listeners[0]?.tls?.certificateRefs?.[0]?.name])).toEqual([
    ['ns/ingress~older', 'one'],
  ]);
  expect(r.routes.list().map((route) => route.spec.parentRefs?.at(-1)?.name)).toEqual(['ingress~older', 'ingress~older']);
  r.ingresses.delete('ns/older');
  r.flush();
  expect(r.listenerSets.list().map(({ set }) => keyOf(set))).toEqual(['ns/ingress~younger']);
});

test('a port by name is that of the Service, and a change of it computes that Ingress alone', () => {
  const r = rig();
  r.ingressClasses.set(ingressClass('web', ours, true));
  const spec = (name: string): Ingress['spec'] => ({ defaultBackend: { service: { name, port: { name: 'http' } } } });
  for (const name of ['a', 'b']) r.ingresses.set(ingress(name, spec(name)));
  r.flush();
  const before = r.graph.stats().find((s) => s.name === 'IngressRoutes')?.transforms ?? 0;
  r.services.set({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'a', namespace: 'ns' },
    spec: { ports: [{ name: 'http', port: 8080 }] },
  });
  r.flush();
  expect(r.graph.stats().find((s) => s.name === 'IngressRoutes')?.transforms).toBe(before + 1);
  const ports = r.routes.list().map((route) => route.spec.rules?.[0]?.backendRefs?.[0]?.port);
  expect(ports).toEqual([8080, undefined]);
});
