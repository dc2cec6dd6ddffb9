import { expect, test } from 'vitest';
import type { GatewayParameters } from '../deploy/gatewayparameters.ts';
import type { GatewayView } from '../gateway/gateway.ts';
import { Graph, source } from '../krt/index.ts';
import type { EndpointSlice, Service } from '../kube/types/core.ts';
import type { Gateway } from '../kube/types/gateway-api.ts';
import { keyOf } from '../kube/types/meta.ts';
import { proxyAddresses } from './proxies.ts';

/** The addresses of a waypoint `demo/wp`; `stored` are those that its status has already. */
function waypoint(stored: readonly string[]) {
  const graph = new Graph({ schedule: () => {} });
  const inputs = {
    gateways: source<GatewayView>(graph, { name: 'Gateways', key: (v) => v.key }),
    parameters: source<GatewayParameters>(graph, { name: 'GatewayParameters', key: keyOf }),
    services: source<Service>(graph, { name: 'Service', key: keyOf }),
    endpointSlices: source<EndpointSlice>(graph, { name: 'EndpointSlice', key: keyOf }),
    objects: source<Gateway>(graph, { name: 'Gateway', key: keyOf }),
  };
  const addresses = proxyAddresses(graph, inputs);
  const ref = { group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: 'demo', name: 'wp' };
  inputs.gateways.set({ key: 'demo/wp', uid: 'u', ref, waypoint: true, addresses: [], listeners: [] } as unknown as GatewayView);
  const owner = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: 'wp', uid: 'u' };
  inputs.services.set({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'wp', namespace: 'demo', ownerReferences: [owner] },
    spec: { clusterIPs: ['10.96.0.7', 'fd00::7'] },
  });
  inputs.objects.set({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'wp', namespace: 'demo' },
    spec: { gatewayClassName: 'kgateway-waypoint', listeners: [] },
    status: { addresses: stored.map((value) => ({ type: 'Hostname', value })) },
  });
  for (const s of Object.values(inputs)) s.markSynced();
  graph.flush();
  return {
    now: () => addresses.get('demo/wp')?.addresses ?? [],
    pod: (ready: boolean) => {
      inputs.endpointSlices.set({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'wp-1', namespace: 'demo', labels: { 'kubernetes.io/service-name': 'wp' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready } }],
      });
      graph.flush();
    },
  };
}

const announced = ['wp.demo.svc.cluster.local', '10.96.0.7', 'fd00::7'];

test('a waypoint is announced when a Pod is ready, host name first, and not taken back', () => {
  const wp = waypoint([]);
  expect(wp.now()).toEqual([]);
  wp.pod(false);
  expect(wp.now()).toEqual([]);
  wp.pod(true);
  expect(wp.now()).toEqual(announced);
  wp.pod(false);
  expect(wp.now()).toEqual(announced);
});

test('a controller that starts while no Pod is ready leaves it announced', () => {
  expect(waypoint(['wp.demo.svc.cluster.local']).now()).toEqual(announced);
});
