/**
 * Backends of kgateway: places that are no Services.
 *
 *   [Backend] -> BackendView ─┬─> Cluster, when a backendRef leads there
 *                             └─> condition Accepted
 */
import type { Cluster, UpstreamProtocol } from '../ir/backend.ts';
import { backendClusterName, backendStatName } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { ConditionsReport } from '../ir/report.ts';
import type { Collection } from '../krt/index.ts';
import { keyOf } from '../kube/types/meta.ts';
import type { Backend, BackendSpec } from '../policy/backend/schema.ts';
import { type Problem, describeProblems } from '../policy/problem.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import { type BackendKind, unresolved } from './backendref.ts';
import { backend as condition } from './conditions.ts';
import { type LocalSecret, lambdaTraits } from './lambda.ts';
import { staticHosts } from './static-hosts.ts';

/** What of a cluster the spec decides. */
export type BackendTraits = Pick<Cluster, 'discovery' | 'protocol' | 'tls' | 'lambda'>;

/** A Backend as it was read. */
export interface BackendView {
  readonly key: string;
  readonly ref: ObjectRef;
  readonly generation: number;
  /** Empty: it can be used. */
  readonly problems: readonly Problem[];
  readonly traits?: BackendTraits;
}

/** Reads a Backend. Half of one would send requests to other hosts than the user asked for: with any problem there is nothing to use. */
export function translateBackend(backend: Backend, secret: LocalSecret): BackendView {
  const problems: Problem[] = [];
  const traits = traitsOf(backend.spec, secret, problems);
  return {
    key: keyOf(backend),
    ref: { group: kgatewayGroup, kind: 'Backend', namespace: backend.metadata.namespace ?? '', name: backend.metadata.name },
    generation: backend.metadata.generation ?? 0,
    problems,
    ...(traits && problems.length === 0 && { traits }),
  };
}

function traitsOf(spec: BackendSpec, secret: LocalSecret, problems: Problem[]): BackendTraits | undefined {
  for (const field of ['gcp', 'priorityGroups'] as const) {
    if (spec[field] !== undefined) {
      problems.push({ field: `spec.${field}`, message: 'not supported by this version; use static, dynamicForwardProxy or aws' });
    }
  }
  if (spec.static)
    return { discovery: staticHosts(spec.static.hosts, 'spec.static.hosts', problems), protocol: protocolOf(spec.static.appProtocol) };
  if (spec.aws) return lambdaTraits(spec.aws, secret, problems);
  if (spec.dynamicForwardProxy) {
    const tls = { trust: 'system', subjectAltNames: [] } as const;
    return { discovery: { from: 'host' }, protocol: 'http1', ...(spec.dynamicForwardProxy.enableTls && { tls }) };
  }
  if (problems.length === 0) problems.push({ field: 'spec', message: 'says no place; set static, dynamicForwardProxy or aws' });
  return undefined;
}

function protocolOf(appProtocol: string | undefined): UpstreamProtocol {
  return appProtocol === 'http2' || appProtocol === 'grpc' || appProtocol === 'kubernetes.io/h2c' ? 'http2' : 'http1';
}

/** The kind Backend. */
export function kgatewayBackends(views: Collection<BackendView>): BackendKind {
  return {
    group: kgatewayGroup,
    kind: 'Backend',
    resolve: (ctx, from, ref) => {
      const key = `${ref.namespace}/${ref.name}`;
      if (ref.port !== undefined) {
        return unresolved('BackendNotFound', `reference to Backend ${key} includes a port. Do not specify a port: the Backend says it`);
      }
      const view = ctx.fetchOne(views, key);
      if (!view) return unresolved('BackendNotFound', `Backend ${key} not found`);
      if (!view.traits) {
        return unresolved('BackendNotFound', `Backend ${key} cannot be used: ${describeProblems(view.problems)}`);
      }
      if (!leadsTo(from.kind, view.traits)) {
        return unresolved('UnsupportedProtocol', `a ${from.kind} cannot lead to Backend ${key}, whose type it does not fit; use a Service`);
      }
      // gRPC is HTTP/2. Where the Backend does not say so, HTTPRoutes to it go on as they are.
      const variant = from.kind === 'GRPCRoute' && view.traits.protocol !== 'http2' ? 'grpc' : '';
      return { ok: true, cluster: backendCluster(view.ref, view.traits, variant) };
    },
  };
}

/** Without HTTP there is no Host header, and UDP is of Services alone. */
function leadsTo(kind: string, { discovery, lambda }: BackendTraits): boolean {
  if (kind === 'UDPRoute') return false;
  if (lambda) return kind === 'HTTPRoute';
  return discovery?.from !== 'host' || kind === 'HTTPRoute' || kind === 'GRPCRoute';
}

/** Variants of a Backend: clusters of it that speak differently. */
export const backendVariants = ['', 'grpc'] as const;

function backendCluster(origin: ObjectRef, traits: BackendTraits, variant: (typeof backendVariants)[number]): Cluster {
  return {
    ...traits,
    ...(variant === 'grpc' && { protocol: 'http2' }),
    name: backendClusterName(origin.namespace, origin.name, variant),
    statName: backendStatName(origin.namespace, origin.name, variant),
    service: '',
    portName: '',
    origin,
  };
}

/** Status of a Backend. `refused`: what proxies said of its clusters. */
export function backendStatus({ ref, generation, problems }: BackendView, refused: readonly string[]): ConditionsReport {
  const why = problems.length > 0 ? describeProblems(problems) : refused.join('; ');
  return {
    form: 'conditions',
    object: ref,
    generation,
    owned: [condition.accepted.type],
    conditions: [why === '' ? condition.accepted : condition.invalid(why)],
  };
}
