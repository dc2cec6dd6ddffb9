/**
 *   MeshConfig, Telemetry of the root namespace, of the namespace of the waypoint, of that of the service, of the class, of the waypoint, of the
 *   service: the later wins                      └─> telemetryOf(place) -> Told
 *
 * Access logging is replaced whole by the next that says anything of it; overrides of metrics add up. (Istio: Telemetry API, "Scope, Inheritance,
 * and Overrides".) What is not supported is reported and left out; nothing else stops.
 */
import { formatProblem } from '../ir/format.ts';
import { type ObjectRef, refKey } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import { type AccessLog, type IstioMetric, type Told, defaultTelemetry, istioMetrics } from '../ir/telemetry.ts';
import type { Telemetry, TelemetryAccessLogging } from '../kube/types/istio-telemetry.ts';
import { defaultFields, defaultFormat } from './access-log-format.ts';
import { celProblem } from './cel.ts';
import type { Mesh } from './mesh.ts';
import { type PolicyObject, type PolicyProblem, policyObject } from './policy.ts';
import { type PolicyPlace, parseTargets, targetKeysOf } from './policy-target.ts';

/** What a Telemetry says that we can do. */
export interface ParsedTelemetry extends PolicyObject {
  /** Of its targets; without any it holds for its namespace, that of the root namespace for all. */
  readonly targets: readonly ObjectRef[];
  /** Undefined: it says nothing of access logs. */
  readonly accessLogging?: readonly AccessLogging[];
  readonly metrics: readonly MetricOverride[];
  readonly problems: readonly PolicyProblem[];
}

interface AccessLogging {
  /** Undefined: those of the mesh. */
  readonly providers?: readonly string[];
  readonly disabled: boolean;
  readonly filter?: string;
}

interface MetricOverride {
  readonly metrics: readonly IstioMetric[];
  readonly disabled?: boolean;
  /** Changes of labels, as in `Told`. */
  readonly labels: Readonly<Record<string, string | null>>;
}

const allMetrics = Object.keys(istioMetrics) as readonly IstioMetric[];
/** What Prometheus takes as the name of a label. */
const labelName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Reads a Telemetry. Undefined for one with a selector: that is for sidecars and Istio's gateways. */
export function parseTelemetry(object: Telemetry, mesh: Mesh): ParsedTelemetry | undefined {
  const { metadata, spec = {} } = object;
  if (spec.selector && !spec.targetRefs?.length) return undefined;
  const { targets, problems } = parseTargets(spec, metadata, mesh.rootNamespace);
  const found: PolicyProblem[] = [...problems];
  if (spec.tracing?.length) found.push({ field: 'spec.tracing', message: 'is not supported; remove it' });
  const accessLogging = spec.accessLogging?.flatMap((a, i) => accessLoggingOf(a, `spec.accessLogging[${i}]`, mesh, found));
  return {
    ...policyObject('telemetry.istio.io', 'Telemetry', metadata),
    targets,
    ...(accessLogging && { accessLogging }),
    metrics: (spec.metrics ?? []).flatMap((m, i) => metricsOf(m, `spec.metrics[${i}]`, found)),
    problems: found,
  };
}

function accessLoggingOf(a: TelemetryAccessLogging, field: string, mesh: Mesh, problems: PolicyProblem[]): readonly AccessLogging[] {
  if (a.match?.mode === 'CLIENT') return [];
  const names = a.providers?.flatMap((p) => p.name ?? []) ?? [];
  const unusable = names.filter((name) => accessLogOf(name, mesh) === undefined);
  for (const name of unusable)
    problems.push({
      field: `${field}.providers`,
      message: `${JSON.stringify(name)} is no provider that writes to files; use envoy, or one of MeshConfig with envoyFileAccessLog`,
    });
  const filter = a.filter?.expression;
  const wrong = filter === undefined ? undefined : celProblem(filter);
  if (wrong !== undefined) problems.push({ field: `${field}.filter.expression`, message: wrong });
  if (wrong !== undefined || (names.length > 0 && unusable.length === names.length)) return [];
  const usable = names.filter((name) => !unusable.includes(name));
  return [{ disabled: a.disabled === true, ...(usable.length > 0 && { providers: usable }), ...(filter !== undefined && { filter }) }];
}

type Metrics = NonNullable<NonNullable<Telemetry['spec']>['metrics']>[number];

function metricsOf({ providers = [], overrides = [], reportingInterval }: Metrics, field: string, problems: PolicyProblem[]) {
  if (reportingInterval !== undefined) problems.push({ field: `${field}.reportingInterval`, message: 'is not supported; remove it' });
  const others = providers.filter((p) => p.name !== 'prometheus');
  if (others.length > 0) problems.push({ field: `${field}.providers`, message: 'only prometheus is supported' });
  if (others.length > 0 && others.length === providers.length) return [];
  return overrides.flatMap((o, i): MetricOverride[] => {
    const at = `${field}.overrides[${i}]`;
    if (o.match?.mode === 'CLIENT') return [];
    const named = o.match?.customMetric ?? o.match?.metric ?? 'ALL_METRICS';
    const metrics = allMetrics.filter((m) => named === 'ALL_METRICS' || m === named || istioMetrics[m] === named);
    if (metrics.length === 0)
      problems.push({ field: `${at}.match`, message: `${named} is no metric of waypoints; they have ${allMetrics.join(', ')}` });
    const labels: Record<string, string | null> = {};
    for (const [label, { operation, value }] of Object.entries(o.tagOverrides ?? {})) {
      const expression = operation === 'REMOVE' ? null : withoutString(value ?? '');
      const wrong = labelProblem(label, expression);
      if (wrong === undefined) labels[label] = expression;
      else problems.push({ field: `${at}.tagOverrides[${label}]`, message: wrong });
    }
    return metrics.length > 0 ? [{ metrics, labels, ...(o.disabled !== undefined && { disabled: o.disabled }) }] : [];
  });
}

function labelProblem(name: string, expression: string | null): string | undefined {
  if (!labelName.test(name)) return 'is no name of a label, which has letters, digits and _';
  if (expression === '') return 'has no value; give one, a CEL expression, or operation: REMOVE';
  return expression === null ? undefined : celProblem(expression);
}

/** A label is text in any case; and Envoy has no conversion there. */
function withoutString(expression: string): string {
  const inner = /^\s*string\(([\s\S]*)\)\s*$/.exec(expression)?.[1];
  return inner !== undefined && celProblem(inner) === undefined ? inner : expression;
}

/** Where a provider writes, and what; undefined for one that does anything else, or whose format Envoy might refuse. */
function accessLogOf(name: string, mesh: Mesh): Pick<AccessLog, 'path' | 'format'> | undefined {
  const { text = defaultFormat } = mesh.accessLog;
  const ofMesh = mesh.accessLog.json ? { json: defaultFields } : { text: isFormat(text) ? text : defaultFormat };
  if (name === 'envoy') return { path: mesh.accessLog.path ?? '/dev/stdout', format: ofMesh };
  const provider = mesh.extensionProviders.find((p) => p.name === name)?.envoyFileAccessLog;
  if (!provider) return undefined;
  const { path = '/dev/stdout', logFormat } = provider;
  const fields = logFormat?.labels && Object.entries(logFormat.labels);
  const format = fields
    ? { json: Object.fromEntries(fields.map(([k, v]) => [k, String(v)])) }
    : { text: logFormat?.text === undefined ? defaultFormat : logFormat.text.endsWith('\n') ? logFormat.text : `${logFormat.text}\n` };
  const texts = 'text' in format ? [format.text] : Object.values(format.json);
  return texts.every(isFormat) ? { path, format } : undefined;
}

/** Envoy would refuse the whole listener for a format that it does not know. */
function isFormat(text: string): boolean {
  return formatProblem(text) === undefined;
}

/** Whether it holds at a waypoint, and how near: the smaller the further. Undefined: it does not. */
function rankOf(t: ParsedTelemetry, place: TelemetryPlace, mesh: Mesh): number | undefined {
  if (t.targets.length > 0) {
    const keys = targetKeysOf(place);
    const ranks = t.targets.map((target) => keys.indexOf(refKey(target))).filter((i) => i >= 0);
    return ranks.length > 0 ? 3 + Math.max(...ranks) : undefined;
  }
  if (!isWide(t)) return undefined;
  if (t.ref.namespace === mesh.rootNamespace) return 0;
  const rank = [place.gateway.namespace, place.serviceNamespace].lastIndexOf(t.ref.namespace);
  return rank < 0 ? undefined : 1 + rank;
}

/** Whether it holds for all of its namespace: one whose targets cannot be read holds for nothing. */
export function isWide({ targets, problems }: ParsedTelemetry): boolean {
  return targets.length === 0 && !problems.some((p) => p.field.startsWith('spec.target'));
}

/** Where traffic passes; that of a service counts as of its namespace too. */
export interface TelemetryPlace extends PolicyPlace {
  readonly serviceNamespace?: string;
}

/** What holds at a place, of any Telemetry; and which of them do. Of two as near as each other, the older one wins. */
export function telemetryOf(
  all: readonly ParsedTelemetry[],
  place: TelemetryPlace,
  mesh: Mesh,
): { readonly told: Told; readonly holding: readonly ObjectRef[] } {
  const holding = all
    .flatMap((t) => {
      const rank = rankOf(t, place, mesh);
      return rank === undefined ? [] : [{ t, rank }];
    })
    .sort((a, b) => a.rank - b.rank || compareText(b.t.created, a.t.created) || compareText(b.t.ref.name, a.t.ref.name))
    .map(({ t }) => t);
  const logging = holding.findLast((t) => t.accessLogging !== undefined)?.accessLogging;
  const disabled = new Set(defaultTelemetry.disabled);
  const labels: Partial<Record<IstioMetric, Readonly<Record<string, string | null>>>> = {};
  for (const override of holding.flatMap((t) => t.metrics)) {
    for (const metric of override.metrics) {
      if (override.disabled === true) disabled.add(metric);
      if (override.disabled === false) disabled.delete(metric);
      if (Object.keys(override.labels).length > 0) labels[metric] = { ...labels[metric], ...override.labels };
    }
  }
  const told: Told = {
    disabled: [...disabled].sort(compareText),
    labels,
    accessLogs: accessLogsOf(logging ?? (mesh.accessLog.path === undefined ? [] : [{ disabled: false }]), mesh),
  };
  return { told, holding: holding.map((t) => t.ref) };
}

/** One log a path; one that is disabled takes back those before it with the same provider. */
function accessLogsOf(logging: readonly AccessLogging[], mesh: Mesh): readonly AccessLog[] {
  const byProvider = new Map<string, AccessLog>();
  for (const { providers = mesh.accessLog.providers, disabled, filter } of logging) {
    for (const name of providers) {
      const log = disabled ? undefined : accessLogOf(name, mesh);
      if (log) byProvider.set(name, { ...log, ...(filter !== undefined && { filter }) });
      else byProvider.delete(name);
    }
  }
  return [...byProvider.values()];
}
