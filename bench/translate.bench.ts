/**
 * What a change costs inside the controller, without API server and proxies: from an object in a Source to resources and statuses.
 *   node bench/translate.bench.ts [ROUTES ...]
 */
import { desiredStatuses } from '../src/cmd/desired-status.ts';
import { objectSources } from '../src/cmd/object-sources.ts';
import { createSources } from '../src/cmd/sources.ts';
import { wire } from '../src/cmd/wiring.ts';
import { Graph, map } from '../src/krt/index.ts';
import type { EndpointSlice, Service } from '../src/kube/types/core.ts';
import type { Gateway, GatewayClass, HTTPRoute } from '../src/kube/types/gateway-api.ts';
import { createResourceStore } from '../src/xds/store.ts';

const metadata = (name: string, version = 1) => ({
  name,
  namespace: 'bench',
  uid: name,
  generation: version,
  resourceVersion: String(version),
  creationTimestamp: '2026-01-01T00:00:00Z',
});
const gatewayApi = 'gateway.networking.k8s.io/v1';

function route(i: number, version = 1): HTTPRoute {
  return {
    apiVersion: gatewayApi,
    kind: 'HTTPRoute',
    metadata: metadata(`route-${i}`, version),
    spec: {
      parentRefs: [{ name: 'gw' }],
      hostnames: [`route-${i}.example.com`],
      rules: [
        { matches: [{ path: { type: 'PathPrefix', value: `/v${version}` } }], backendRefs: [{ name: `service-${i % 1000}`, port: 80 }] },
      ],
    },
  };
}

function service(i: number): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: metadata(`service-${i}`), spec: { ports: [{ port: 80, name: 'http' }] } };
}

function slice(i: number, version = 1): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata(`slice-${i}`, version), labels: { 'kubernetes.io/service-name': `service-${i}` } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [`10.${version % 250}.${i >> 8}.${i & 255}`] }],
    ports: [{ name: 'http', port: 8080 }],
  };
}

interface Row {
  readonly routes: number;
  readonly [what: string]: number;
}

function measure(routes: number): Row {
  const graph = new Graph({ schedule: () => {}, assertions: false });
  const sources = createSources(graph);
  const wiring = wire(graph, sources, {
    waypoints: false,
    bind: (l) => ({ address: '::', port: l.port }),
    addresses: (gateways) => map(graph, gateways, { name: 'Addresses' }, (_ctx, v) => ({ gateway: v.key, addresses: ['192.0.2.1'] })),
  });
  const statuses = desiredStatuses(graph, wiring.statuses);
  createResourceStore(wiring.resources);
  statuses.subscribe(() => {});

  const gatewayClass: GatewayClass = {
    apiVersion: gatewayApi,
    kind: 'GatewayClass',
    metadata: { name: 'kgateway' },
    spec: { controllerName: 'kgateway.dev/kgateway' },
  };
  const gateway: Gateway = {
    apiVersion: gatewayApi,
    kind: 'Gateway',
    metadata: metadata('gw'),
    spec: { gatewayClassName: 'kgateway', listeners: [{ name: 'http', protocol: 'HTTP', port: 80 }] },
  };
  sources.classes.set(gatewayClass);
  sources.gateways.set(gateway);
  for (let i = 0; i < 1000; i++) sources.services.set(service(i));
  for (let i = 0; i < 1000; i++) sources.endpointSlices.set(slice(i));
  for (let i = 0; i < routes; i++) sources.httpRoutes.set(route(i));
  for (const source of Object.values(objectSources(sources))) source.markSynced();
  const settle = (): void => {
    while (graph.dirty) graph.flush();
  };
  const milliseconds = (times: number, what: (i: number) => void): number => {
    const start = performance.now();
    for (let i = 0; i < times; i++) {
      what(i);
      settle();
    }
    return (performance.now() - start) / times;
  };
  const first = milliseconds(1, () => {});
  milliseconds(200, (i) => sources.httpRoutes.set(route(i, 2)));
  const changed = milliseconds(500, (i) => sources.httpRoutes.set(route(i % routes, i + 10)));
  const added = milliseconds(500, (i) => sources.httpRoutes.set(route(routes + i)));
  const endpoint = milliseconds(500, (i) => sources.endpointSlices.set(slice(i, i + 2)));
  globalThis.gc?.();
  return {
    routes,
    'settle ms': first,
    'route changed ms': changed,
    'route added ms': added,
    'endpoint changed ms': endpoint,
    'heap MB': process.memoryUsage().heapUsed / 1e6,
  };
}

const sizes = process.argv.slice(2).map(Number);
const rows = (sizes.length > 0 ? sizes : [100, 1000, 4000]).map(measure);
console.table(rows.map((row) => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, Number(v.toFixed(3))]))));
