import { expect, test } from 'vitest';
import type { Telemetry } from '../kube/types/istio-telemetry.ts';
import { defaultMesh } from './mesh.ts';
import { type TelemetryPlace, parseTelemetry, telemetryOf } from './telemetry.ts';

const place = { gateway: { namespace: 'demo', name: 'wp' }, gatewayClass: 'kgateway-waypoint' };
const gateway = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'wp' };
const gatewayClass = { group: 'gateway.networking.k8s.io', kind: 'GatewayClass', name: 'kgateway-waypoint' };

const telemetry = (name: string, namespace: string, spec: Telemetry['spec'], created = '2026-01-01'): Telemetry => ({
  apiVersion: 'telemetry.istio.io/v1',
  kind: 'Telemetry',
  metadata: { name, namespace, creationTimestamp: created },
  ...(spec && { spec }),
});

function held(...all: readonly Telemetry[]) {
  return heldAt(place, ...all);
}

function heldAt(at: TelemetryPlace, ...all: readonly Telemetry[]) {
  const parsed = all.flatMap((t) => parseTelemetry(t, defaultMesh) ?? []);
  const { told, holding } = telemetryOf(parsed, at, defaultMesh);
  return { ...told, holding: holding.map((h) => h.name) };
}

const logs = (filter: string) => ({ accessLogging: [{ filter: { expression: filter } }] });

test('without any, all metrics but those of sizes, and no access log', () => {
  expect(held()).toEqual({ disabled: ['REQUEST_SIZE', 'RESPONSE_SIZE'], labels: {}, accessLogs: [], holding: [] });
});

test('the nearest access logging wins whole: root namespace, namespace, class, Gateway; of two alike the older', () => {
  const root = telemetry('root', 'istio-system', logs('response.code == 1'));
  const namespace = telemetry('ns', 'demo', logs('response.code == 2'));
  const ofClass = telemetry('class', 'istio-system', { targetRefs: [gatewayClass], ...logs('response.code == 3') });
  const young = telemetry('young', 'demo', { targetRefs: [gateway], ...logs('response.code == 4') }, '2026-02-02');
  const old = telemetry('old', 'demo', { targetRefs: [gateway], ...logs('response.code == 5') });
  const filterOf = (...all: readonly Telemetry[]) => held(...all).accessLogs.map((l) => l.filter);
  expect(filterOf(root)).toEqual(['response.code == 1']);
  expect(filterOf(namespace, root)).toEqual(['response.code == 2']);
  expect(filterOf(ofClass, namespace, root)).toEqual(['response.code == 3']);
  expect(filterOf(old, ofClass, young, namespace, root)).toEqual(['response.code == 5']);
  expect(held(old, root, young).holding).toEqual(['root', 'young', 'old']);
});

test('those of other namespaces, Gateways and workloads do not hold', () => {
  const others = [
    telemetry('other', 'other', logs('true')),
    telemetry('elsewhere', 'other', { targetRefs: [gateway], ...logs('true') }),
    telemetry('workload', 'demo', { selector: { matchLabels: { app: 'echo' } }, ...logs('true') }),
    telemetry('service', 'demo', { targetRefs: [{ kind: 'Service', name: 'echo' }], ...logs('true') }),
  ];
  expect(held(...others)).toMatchObject({ accessLogs: [], holding: [] });
});

test('of a service: its namespace is nearer than that of the waypoint, the waypoint itself nearer, the service nearest', () => {
  const service = { namespace: 'shop', name: 'cart' };
  const entry = { namespace: 'shop', name: 'bank' };
  const all = [
    telemetry('entry', 'shop', {
      targetRefs: [{ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'bank' }],
      ...logs('response.code == 5'),
    }),
    telemetry('service', 'shop', { targetRefs: [{ kind: 'Service', name: 'cart' }], ...logs('response.code == 4') }),
    telemetry('wp', 'demo', { targetRefs: [gateway], ...logs('response.code == 3') }),
    telemetry('its', 'shop', logs('response.code == 2')),
    telemetry('ns', 'demo', logs('response.code == 1')),
  ];
  const at = (more: Partial<TelemetryPlace>) => heldAt({ ...place, ...more }, ...all).holding;
  expect(at({})).toEqual(['ns', 'wp']);
  expect(at({ serviceNamespace: 'shop' })).toEqual(['ns', 'its', 'wp']);
  expect(at({ serviceNamespace: 'shop', services: [service] })).toEqual(['ns', 'its', 'wp', 'service']);
  expect(at({ serviceNamespace: 'shop', serviceEntries: [entry] })).toEqual(['ns', 'its', 'wp', 'entry']);
  expect(at({ serviceNamespace: 'shop', services: [entry] })).toEqual(['ns', 'its', 'wp']);
});

test('overrides of metrics add up, and the nearer one may take back', () => {
  const root = telemetry('root', 'istio-system', {
    metrics: [
      {
        overrides: [
          { match: { metric: 'ALL_METRICS' }, disabled: true },
          { tagOverrides: { source_app: { operation: 'REMOVE' }, host: { value: 'request.host' } } },
        ],
      },
    ],
  });
  const near = telemetry('near', 'demo', {
    metrics: [
      { overrides: [{ match: { metric: 'REQUEST_COUNT' }, disabled: false, tagOverrides: { response_flags: { operation: 'REMOVE' } } }] },
      { overrides: [{ match: { metric: 'REQUEST_DURATION', mode: 'CLIENT' }, disabled: false }] },
      {
        overrides: [
          { match: { metric: 'TCP_SENT_BYTES' }, tagOverrides: { host: { operation: 'UPSERT', value: 'string(destination.port)' } } },
        ],
      },
    ],
  });
  const found = held(near, root);
  expect(found.disabled).not.toContain('REQUEST_COUNT');
  expect(found.disabled).toContain('REQUEST_DURATION');
  expect(found.labels.REQUEST_COUNT).toEqual({ response_flags: null, source_app: null, host: 'request.host' });
  expect(found.labels.TCP_SENT_BYTES).toEqual({ source_app: null, host: 'destination.port' });
});

test('metrics of sizes are there when one asks for them', () => {
  const one = telemetry('one', 'demo', { metrics: [{ overrides: [{ match: { metric: 'REQUEST_SIZE' }, disabled: false }] }] });
  expect(held(one).disabled).toEqual(['RESPONSE_SIZE']);
  const all = telemetry('all', 'demo', { metrics: [{ overrides: [{ match: { metric: 'ALL_METRICS' }, disabled: false }] }] });
  expect(held(all).disabled).toEqual([]);
});

test.each<[Telemetry['spec'], string]>([
  [{ tracing: [{}] }, 'spec.tracing'],
  [{ accessLogging: [{ providers: [{ name: 'otel' }] }] }, 'spec.accessLogging[0].providers'],
  [{ accessLogging: [{ filter: { expression: 'x' } }] }, 'spec.accessLogging[0].filter.expression'],
  [{ metrics: [{ providers: [{ name: 'stackdriver' }] }] }, 'spec.metrics[0].providers'],
  [{ metrics: [{ reportingInterval: '5s' }] }, 'spec.metrics[0].reportingInterval'],
  [{ metrics: [{ overrides: [{ match: { customMetric: 'mine' } }] }] }, 'spec.metrics[0].overrides[0].match'],
  [
    { metrics: [{ overrides: [{ tagOverrides: { x: { value: 'request.host | "x"' } } }] }] },
    'spec.metrics[0].overrides[0].tagOverrides[x]',
  ],
  [{ metrics: [{ overrides: [{ tagOverrides: { x: { operation: 'UPSERT' } } }] }] }, 'spec.metrics[0].overrides[0].tagOverrides[x]'],
  [{ metrics: [{ overrides: [{ tagOverrides: { 'a.b': { value: '"c"' } } }] }] }, 'spec.metrics[0].overrides[0].tagOverrides[a.b]'],
  [{ targetRefs: [{ kind: 'Deployment', name: 'echo' }] }, 'spec.targetRefs[0]'],
])('%j is said to be left out', (spec, field) => {
  expect(parseTelemetry(telemetry('t', 'demo', spec), defaultMesh)?.problems.map((p) => p.field)).toEqual([field]);
});

test.each([
  ['%REQ(:PATH)% %% %RESPONSE_CODE%\n', true],
  ['%REQ(X-A?Y-B):10%', true],
  ['%DYNAMIC_METADATA(a.b:c)% %START_TIME%', true],
  ['plain', true],
  ['%NOT_A_COMMAND%', false],
  ['%REQ%', false],
  ['50%', false],
  ['%RESPONSE_CODE(x)%', false],
  ['%PROTOCOL:5%', false],
  ['%REQ(A?B?C)%', false],
  ['%FILTER_STATE(a:b)%', false],
  ['%METADATA(a:b:c)%', false],
  ['%METADATA(CLUSTER:a:b)% %START_TIME(%Y-%m-%dT%H)%', true],
])('a format as %j is taken: %s', (text, taken) => {
  const mesh = { ...defaultMesh, extensionProviders: [{ name: 'own', envoyFileAccessLog: { logFormat: { text } } }] };
  const parsed = parseTelemetry(telemetry('t', 'demo', { accessLogging: [{ providers: [{ name: 'own' }] }] }), mesh);
  expect(parsed?.problems).toHaveLength(taken ? 0 : 1);
});
