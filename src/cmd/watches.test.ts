import { afterEach, expect, test } from 'vitest';
import { Graph, map } from '../krt/index.ts';
import { GatewayClasses, Gateways, HTTPRoutes, InferencePools, Pods, Services } from '../kube/resources.ts';
import { testApiServer } from '../kube/testing/api-server.ts';
import { until } from '../kube/testing/until.ts';
import type { Pod } from '../kube/types/core.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { podBinding } from '../xds/translate/listener.ts';
import { createLogger } from './log.ts';
import { createSources } from './sources.ts';
import { startWatches, watched } from './watches.ts';
import { wire } from './wiring.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});

const object = <T extends KubeObject>(apiVersion: string, kind: string, name: string, spec: object): T =>
  ({ apiVersion, kind, metadata: { name, namespace: 'ns', generation: 1 }, spec }) as unknown as T;

const pod = (name: string, app: string, ip: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'ns', labels: { app } },
  spec: { containers: [] },
  status: { podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
});

test('the Pods of an InferencePool are read when a route leads there, and no others; the CRD may come late', async () => {
  const server = await testApiServer([...watched, Pods]);
  cleanup.push(() => server[Symbol.asyncDispose]());
  const graph = new Graph({ assertions: true });
  const sources = createSources(graph);
  const wiring = wire(graph, sources, {
    waypoints: false,
    inference: true,
    bind: podBinding,
    addresses: (gateways) => map(graph, gateways, { name: 'Addresses' }, (_ctx, view) => ({ gateway: view.key, addresses: [] })),
  });
  const parts = { ...wiring.wanted, pods: wiring.api.wantedPods };
  const watches = startWatches(server.client, sources, parts, { waypoints: false, inference: true, log: createLogger('silent') });
  cleanup.push(() => watches.stop());
  await graph.whenSynced();

  server.put(Pods, pod('a', 'llama', '10.0.0.1'));
  server.put(Pods, pod('b', 'other', '10.0.0.2'));
  server.put(GatewayClasses, {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: 'kgateway' },
    spec: { controllerName: 'kgateway.dev/kgateway' },
  });
  server.put(
    Gateways,
    object('gateway.networking.k8s.io/v1', 'Gateway', 'gw', {
      gatewayClassName: 'kgateway',
      listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }],
    }),
  );
  server.put(Services, object('v1', 'Service', 'picker', { ports: [{ port: 9002 }] }));
  server.install(InferencePools);
  server.put(
    InferencePools,
    object('inference.networking.k8s.io/v1', 'InferencePool', 'llama', {
      selector: { matchLabels: { app: 'llama' } },
      targetPorts: [{ number: 8000 }],
      endpointPickerRef: { name: 'picker', port: { number: 9002 } },
    }),
  );
  await until(() => sources.inferencePools.size === 1, 'the pool is read');
  expect(server.requests.filter((r) => r.includes('/pods'))).toEqual([]);

  const group = 'inference.networking.k8s.io';
  server.put(
    HTTPRoutes,
    object('gateway.networking.k8s.io/v1', 'HTTPRoute', 'route', {
      parentRefs: [{ name: 'gw' }],
      rules: [{ backendRefs: [{ group, kind: 'InferencePool', name: 'llama' }] }],
    }),
  );
  const endpoints = () => wiring.api.endpoints.get('inferencepool|ns|llama')?.endpoints;
  await until(() => endpoints()?.length === 1, 'the Pod is an endpoint');
  expect(endpoints()).toEqual([{ address: '10.0.0.1', port: 8000 }]);
  expect(sources.pods.list().map((p) => p.metadata.name)).toEqual(['a']);

  server.remove(HTTPRoutes, 'ns/route');
  await until(() => sources.pods.size === 0, 'nobody needs its Pods');
});
