/**
 * One-file goldens: objects, then `# Output`, then what they come to: statuses and xDS, as a reader would write them.
 * Used by golden.test.ts and by the test that shows every golden to a real Envoy.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { dump, loadAll } from 'js-yaml';
import type { StatusReport } from '../ir/report.ts';
import { describeRef } from '../ir/object-ref.ts';
import { Graph, map } from '../krt/index.ts';
import { crdValidator } from '../kube/crd-validation.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { messageNameOf, toJson } from '../xds/proto/index.ts';
import { TypeUrl, type XdsResource } from '../xds/resource.ts';
import { podBinding } from '../xds/translate/listener.ts';
import { pretendIngressGateways } from './ingress-gateways.ts';
import { servedCrds } from './local.ts';
import { objectSources } from './object-sources.ts';
import { createSources } from './sources.ts';
import { wire } from './wiring.ts';

export const goldenFolder = join(import.meta.dirname, 'testdata');
const marker = '\n---\n# Output\n';

export interface Translation {
  readonly statuses: readonly StatusReport[];
  readonly resources: readonly XdsResource[];
  /** Keys of the Secrets and ConfigMaps that would be read from an API server. */
  readonly wanted: readonly string[];
}

/** Names of the goldens. */
export function goldenCases(): readonly string[] {
  return readdirSync(goldenFolder).filter((f) => f.endsWith('.yaml'));
}

/** The objects and the expected output of a golden. */
export function readGolden(file: string): { readonly input: string; readonly output: string } {
  const [input = '', output = ''] = readFileSync(join(goldenFolder, file), 'utf8').split(marker);
  return { input, output };
}

/** The text of a golden. */
export function goldenText(input: string, output: string): string {
  return `${input.trimEnd()}${marker}${output}`;
}

const validate = crdValidator(servedCrds());

/** Translates YAML documents through the whole graph, with every Gateway at 192.0.2.1. Throws when an object does not fit its CRD. */
export function translateYaml(text: string, { weightedRoutes = true }: { readonly weightedRoutes?: boolean } = {}): Translation {
  const graph = new Graph({
    schedule: () => {},
    onError: (collection, key, error) => {
      throw new Error(`${collection} ${key} failed`, { cause: error });
    },
  });
  const sources = createSources(graph);
  const wiring = wire(graph, sources, {
    waypoints: true,
    inference: true,
    weightedRoutes,
    bind: podBinding,
    addresses: (gateways) => map(graph, gateways, { name: 'Addresses' }, (_ctx, view) => ({ gateway: view.key, addresses: ['192.0.2.1'] })),
  });
  pretendIngressGateways(wiring.ingressGateways, sources.gateways);
  const byKind = objectSources(sources);
  for (const object of loadAll(text) as KubeObject[]) {
    if (!object) continue;
    const source = byKind[object.kind];
    if (!source) throw new Error(`unknown kind ${object.kind}`);
    const problems = validate(object);
    if (problems.length > 0) throw new Error(`${object.kind} ${object.metadata.name}: ${problems.join('; ')}`);
    source.set(asStored(object));
  }
  for (const source of Object.values(byKind)) source.markSynced();
  while (graph.dirty) graph.flush();
  const wanted = [...wiring.wanted.secrets.list(), ...wiring.wanted.configMaps.list()].map((w) => w.key);
  return { statuses: wiring.statuses.list(), resources: wiring.resources.list(), wanted };
}

/** What an API server would fill in. */
function asStored(object: KubeObject): KubeObject {
  const { metadata } = object;
  const namespaced =
    object.kind !== 'GatewayClass' && object.kind !== 'Namespace' && object.kind !== 'Node' && object.kind !== 'IngressClass';
  return {
    ...object,
    metadata: {
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      uid: `uid-${object.kind}-${metadata.name}`,
      resourceVersion: '1',
      ...(namespaced && { namespace: 'default' }),
      ...metadata,
    },
  };
}

const order = [TypeUrl.listener, TypeUrl.scopedRoute, TypeUrl.route, TypeUrl.cluster, TypeUrl.endpoint, TypeUrl.secret];

/** The output part of a golden. Private keys and listeners' constant parts are left out, unless it is `whole`: they say nothing about the case. */
export function renderTranslation({ statuses, resources }: Translation, whole = false): string {
  const out = {
    status: Object.fromEntries(
      statuses
        .toSorted((a, b) => (describeRef(a.object) < describeRef(b.object) ? -1 : 1))
        .filter((s) => s.object.kind !== 'GatewayClass')
        .map((s) => [describeRef(s.object), statusOf(s)]),
    ),
    xds: resources
      .toSorted((a, b) => order.indexOf(a.type) - order.indexOf(b.type) || (`${a.scope} ${a.name}` < `${b.scope} ${b.name}` ? -1 : 1))
      .filter((r) => r.type !== TypeUrl.secret)
      .map((r) => ({
        gateway: r.scope,
        [r.type.split('.').at(-1) ?? '']: toJson(messageNameOf(r.type) as 'envoy.config.listener.v3.Listener', r.bytes),
      })),
  };
  const shown: unknown = whole ? JSON.parse(JSON.stringify(out, shortened)) : withoutConstants(out);
  return dump(shown, { lineWidth: 140, noRefs: true, sortKeys: false });
}

function statusOf(s: StatusReport): unknown {
  const line = (c: { type: string; status: string; reason: string; message: string }): string =>
    `${c.type}=${c.status} ${c.reason}: ${c.message}`;
  if (s.form === 'conditions') return { conditions: s.conditions.map(line) };
  if (s.form === 'fields') return s.fields;
  if (s.form !== 'whole') return s.entries.map((e) => ({ ref: e.ref, conditions: e.conditions.map(line) }));
  return {
    conditions: s.conditions.map(line),
    listeners: s.listeners?.map((l) => ({
      name: l.name,
      attachedRoutes: l.attachedRoutes,
      supportedKinds: l.supportedKinds.map((k) => k.kind),
      conditions: l.conditions.map(line),
    })),
    ...s.fields,
  };
}

/** The runtime of transformations is code, with tests of its own. */
function shortened(key: string, value: unknown): unknown {
  return key === 'source_codes' ? Object.keys(value as object) : value;
}

/** Parts that are the same everywhere; one golden shows them whole (`listener-whole.yaml` has the word in its name). */
const constants = new Set([
  'http_filters',
  'strip_trailing_host_dot',
  'early_header_mutation_extensions',
  'scoped_routes',
  'http2_protocol_options',
  'max_direct_response_body_size_bytes',
  'request_headers_to_remove',
]);

/** Filters and access loggers that are the same everywhere. */
const constantExtensions = new Set<unknown>(['envoy.access_loggers.stats', 'kgateway.source']);

function withoutConstants(value: unknown, inRoute = false): unknown {
  if (Array.isArray(value)) {
    const varying = value.filter((v) => !constantExtensions.has((v as { name?: unknown } | null)?.name));
    return varying.map((v) => withoutConstants(v, inRoute));
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !constants.has(key) || (key === 'request_headers_to_remove' && inRoute));
  return Object.fromEntries(
    entries
      .filter(([key, v]) => !(key === 'typed_per_filter_config' && isIdle(v)))
      .map(([key, v]) => [key, withoutConstants(v, inRoute || key === 'routes')] as const)
      .filter(([key, v]) => !(key === 'access_log' && Array.isArray(v) && v.length === 0)),
  );
}

/** The filters that a scope switches off. */
function isIdle(config: unknown): boolean {
  return Object.values(config as object).every((v: unknown) => (v as { disabled?: boolean }).disabled === true);
}
