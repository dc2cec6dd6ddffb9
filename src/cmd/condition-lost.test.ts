import { expect, test } from 'vitest';
import { Graph, map } from '../krt/index.ts';
import type { AuthorizationPolicy } from '../kube/types/istio-security.ts';
import { objectSources } from './object-sources.ts';
import { createSources } from './sources.ts';
import { wire } from './wiring.ts';

const policy = (version: string, ...types: readonly string[]): AuthorizationPolicy & { readonly status: object } => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'p', namespace: 'default', uid: 'p', generation: 1, resourceVersion: version },
  spec: { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'gw' }], rules: [{}] },
  status: { conditions: types.map((type) => ({ type, status: 'True' })) },
});

test('a condition that istiod has taken away is written again, once', () => {
  const g = new Graph();
  const sources = createSources(g);
  const wiring = wire(g, sources, {
    waypoints: false,
    bind: (l) => ({ address: '::', port: l.port }),
    addresses: (gateways) => map(g, gateways, { name: 'Addresses' }, (_ctx, v) => ({ gateway: v.key, addresses: [] })),
  });
  const meta = (name: string) => ({ name, namespace: 'default', uid: name, generation: 1, resourceVersion: '1' });
  sources.classes.set({
    apiVersion: 'v1',
    kind: 'GatewayClass',
    metadata: { name: 'kgateway' },
    spec: { controllerName: 'kgateway.dev/kgateway' },
  });
  sources.gateways.set({ apiVersion: 'v1', kind: 'Gateway', metadata: meta('gw'), spec: { gatewayClassName: 'kgateway', listeners: [] } });
  sources.authorizationPolicies.set(policy('1'));
  for (const source of Object.values(objectSources(sources))) source.markSynced();
  const events: unknown[] = [];
  wiring.statuses.subscribe((all) => {
    for (const e of all)
      if (e.key.includes('AuthorizationPolicy')) events.push('new' in e && e.new.form === 'conditions' ? e.new.missing === true : e.type);
  });
  const settle = (): void => {
    while (g.dirty) g.flush();
  };
  settle();
  sources.authorizationPolicies.set(policy('2', 'kgateway.dev/Accepted'));
  settle();
  sources.authorizationPolicies.set(policy('3', 'WaypointAccepted'));
  settle();
  sources.authorizationPolicies.set(policy('4', 'WaypointAccepted', 'kgateway.dev/Accepted'));
  settle();
  sources.authorizationPolicies.set(policy('5', 'WaypointAccepted', 'kgateway.dev/Accepted'));
  settle();
  expect(events).toEqual([true, false, true, false]);
});
