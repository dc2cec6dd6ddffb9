/**
 * One rule of an HTTPRoute or GRPCRoute, its matches translated by its kind.
 *
 *   [matches] + [filters] + [backendRefs] -> RouteRule + what is wrong with it
 *
 * A rule with an invalid match is dropped; one with an invalid filter or policy is replaced by a 500, so that traffic never passes with a
 * part of its policy missing. All other rules keep serving.
 */
import type { Cluster } from '../ir/backend.ts';
import type { ExternalAuthorization } from '../ir/authorization.ts';
import { describeRef } from '../ir/object-ref.ts';
import type { RoutePolicies } from '../ir/policy.ts';
import type { HttpMatch, Mirror, RouteAction, RouteRule, WeightedBackend } from '../ir/route.ts';
import type { Ctx } from '../krt/index.ts';
import type { HTTPBackendRef, HTTPExternalAuthFilter, HTTPRouteFilter, SessionPersistence } from '../kube/types/gateway-api.ts';
import type { Problem } from '../policy/problem.ts';
import { type BackendInputs, type BackendTarget, resolveBackend } from './backendref.ts';
import { type DirectResponses, directAnswer } from './direct-response.ts';
import type { BackendTlsPolicies } from './backendtlspolicy.ts';
import type { UnresolvedReason } from './conditions.ts';
import { delegates } from './delegation.ts';
import { type ExtensionRef, type RuleFilters, mirrorShare, translateFilters } from './route-filter.ts';
import { externalAuthorization } from './external-auth.ts';
import type { GrantSubject } from './referencegrant.ts';
import { choosesByRequest, sessionOf } from './session-persistence.ts';

export interface UnresolvedRef {
  readonly reason: UnresolvedReason;
  readonly message: string;
}

/** What comes of a rule of any kind of route. */
export interface RuleOutcome {
  readonly clusters: readonly Cluster[];
  readonly unresolved: readonly UnresolvedRef[];
  /** Invalid matches: the rule was dropped. */
  readonly dropped: readonly Problem[];
  /** Invalid filters: the rule was replaced by a 500. */
  readonly replaced: readonly Problem[];
  /** InferencePools that it leads to, valid or not: `namespace/name`. Absent: none. */
  readonly pools?: readonly string[];
}

export interface TranslatedRule extends RuleOutcome {
  /** Absent: the rule was dropped. */
  readonly rule?: RouteRule;
  /** Name that the user gave it: what the `sectionName` of a policy refers to. */
  readonly section?: string;
  readonly extensionRefs: readonly ExtensionRef[];
  /** backendRefs that lead to other HTTPRoutes; they are not among the backends of the rule. */
  readonly delegates?: readonly Delegate[];
}

/** A backendRef that delegates. */
export interface Delegate {
  /** Its position among the backendRefs of the rule. */
  readonly ref: number;
  readonly weight: number;
  /** `group/kind/namespace/name`, for messages. */
  readonly target: string;
}

/** Where a backendRef leads: the part of a WeightedBackend that it decides. */
type ResolvedCluster = Required<Pick<WeightedBackend, 'cluster'>> & Pick<WeightedBackend, 'picker'>;

/** Body of the answer that stands in for a rule that could not be translated whole; kgateway's wording. */
export const replacedBody = 'invalid route configuration detected and replaced with a direct response.';

/** A rule, as far as its kind is of no matter. */
export interface RuleParts {
  readonly name?: string;
  readonly matches: readonly { readonly match: HttpMatch; readonly problems: readonly Problem[] }[];
  readonly filters?: readonly HTTPRouteFilter[];
  readonly backendRefs?: readonly HTTPBackendRef[];
  readonly sessionPersistence?: SessionPersistence;
  /** What the rule itself says of timeouts and retries, and what is wrong there. */
  readonly policies: RoutePolicies;
  readonly problems: readonly Problem[];
  readonly invalidStatus?: 503;
}

/** `name` is unique over all routes; `field` is where problems are. */
export interface RuleId {
  readonly name: string;
  readonly origin: RouteRule['origin'];
  readonly field: string;
  /** Of its redirects, whatever their filters say. */
  readonly redirectStatus?: number | undefined;
}

/** What rules refer to. */
export interface RuleInputs extends BackendInputs {
  readonly directResponses: DirectResponses;
  /** Routes are tried by their weights first. */
  readonly weightedRoutes: boolean;
  readonly backendTls: BackendTlsPolicies;
}

/** Translates a rule. `from` is the route, as the subject of its references. */
export function translateRule(ctx: Ctx, inputs: RuleInputs, from: GrantSubject, rule: RuleParts, id: RuleId): TranslatedRule {
  const dropped = rule.matches.flatMap((m) => m.problems);
  const replaced: Problem[] = [];
  const unresolved: UnresolvedRef[] = [];
  const clusters: Cluster[] = [];

  const matches = rule.matches.map((m) => m.match);
  const filters = translateFilters(rule.filters ?? [], matches, `${id.field}.filters`, replaced);
  const policies = { ...filters.policies, ...rule.policies };
  replaced.push(...rule.problems);
  const session = sessionOf(rule.sessionPersistence, id.name, `${id.field}.sessionPersistence`, replaced);

  const pools = new Set<string>();
  const resolve = (ref: BackendTarget): ResolvedCluster | undefined => {
    const backend = resolveBackend(ctx, inputs, from, ref);
    if (backend.pool !== undefined) pools.add(backend.pool);
    if (!backend.ok) {
      unresolved.push({ reason: backend.reason, message: backend.message });
      return undefined;
    }
    const { cluster, picker } = backend;
    clusters.push(cluster, ...(picker ? [picker.cluster] : []));
    return { cluster: cluster.name, ...(picker && { picker: { ...picker, cluster: picker.cluster.name } }) };
  };
  const delegated = delegatesOf(from, rule.backendRefs ?? [], `${id.field}.backendRefs`, replaced);
  const backends = (rule.backendRefs ?? []).flatMap((ref, i) =>
    delegated.some((d) => d.ref === i)
      ? []
      : [weightedBackend(ref, matches, { ...id, field: `${id.field}.backendRefs[${i}]` }, resolve, replaced)],
  );
  const mirrors = mirrorsOf(filters.mirrors, resolve);

  const externalAuth = filters.externalAuth && authorizationBy(filters.externalAuth, from, `${id.field}.filters`, resolve, replaced);

  const unfit = session && clusters.filter((c) => backends.some((b) => b.cluster === c.name)).find(choosesByRequest);
  if (unfit) {
    const message = `cannot go with ${describeRef(unfit.origin)}, whose endpoint each request chooses anew; remove one of the two`;
    replaced.push({ field: `${id.field}.sessionPersistence`, message });
  }

  if (dropped.length > 0) return { extensionRefs: [], clusters: [], unresolved, dropped, replaced };
  const others = [...(filters.redirect ? ['a RequestRedirect'] : []), ...(rule.backendRefs?.length ? ['backendRefs'] : [])];
  const answer = directAnswer(ctx, inputs.directResponses, from.namespace, filters.extensionRefs, others, `${id.field}.filters`, replaced);
  const action: RouteAction =
    replaced.length > 0
      ? { type: 'direct', status: 500, body: replacedBody }
      : answer
        ? { type: 'direct', ...answer }
        : filters.redirect
          ? { type: 'redirect', redirect: { ...filters.redirect, status: id.redirectStatus ?? filters.redirect.status } }
          : {
              type: 'forward',
              backends,
              mirrors,
              ...(filters.hostRewrite !== undefined && { hostRewrite: filters.hostRewrite }),
              ...(filters.pathRewrite && { pathRewrite: filters.pathRewrite }),
              ...(rule.invalidStatus !== undefined && { invalidStatus: rule.invalidStatus }),
            };
  return {
    rule: {
      name: id.name,
      origin: id.origin,
      matches,
      action,
      ...(filters.requestHeaders && { requestHeaders: filters.requestHeaders }),
      ...(filters.responseHeaders && { responseHeaders: filters.responseHeaders }),
      policies,
      ...(session && { session }),
      ...(externalAuth && { externalAuth }),
    },
    ...(rule.name !== undefined && { section: rule.name }),
    extensionRefs: filters.extensionRefs,
    ...(delegated.length > 0 && { delegates: delegated }),
    clusters,
    unresolved,
    dropped,
    replaced,
    ...(pools.size > 0 && { pools: [...pools] }),
  };
}

/** Only HTTPRoutes delegate: in another kind of route such a reference is of an unknown kind. */
function delegatesOf(from: GrantSubject, refs: readonly HTTPBackendRef[], field: string, problems: Problem[]): readonly Delegate[] {
  if (from.kind !== 'HTTPRoute') return [];
  return refs.flatMap((ref, i): Delegate[] => {
    if (!delegates(ref)) return [];
    if (ref.filters?.length) {
      problems.push({ field: `${field}[${i}].filters`, message: 'a backendRef that delegates has no filters; set them on the rule' });
    }
    const target = `${ref.group}/${ref.kind}/${ref.namespace ?? from.namespace}/${ref.name}`;
    return [{ ref: i, weight: ref.weight ?? 1, target }];
  });
}

/** A backendRef with its filters: all but those that say something of requests before a backend is chosen. */
function weightedBackend(
  ref: HTTPBackendRef,
  matches: readonly HttpMatch[],
  { field, redirectStatus }: RuleId,
  resolve: (ref: BackendTarget) => ResolvedCluster | undefined,
  problems: Problem[],
): WeightedBackend {
  const resolved = resolve(ref);
  for (const [i, { type }] of (ref.filters ?? []).entries()) {
    if (type !== 'CORS' && type !== 'ExternalAuth' && type !== 'ExtensionRef') continue;
    problems.push({
      field: `${field}.filters[${i}].type`,
      message: `filter type ${type} is not supported on a backendRef; set it on the rule`,
    });
  }
  const filters = translateFilters(ref.filters ?? [], matches, `${field}.filters`, problems);
  const { requestHeaders, responseHeaders, hostRewrite, pathRewrite, redirect } = filters;
  const mirrors = mirrorsOf(filters.mirrors, resolve);
  return {
    weight: ref.weight ?? 1,
    ...resolved,
    ...(requestHeaders && { requestHeaders }),
    ...(responseHeaders && { responseHeaders }),
    ...(hostRewrite !== undefined && { hostRewrite }),
    ...(pathRewrite && { pathRewrite }),
    ...(redirect && { redirect: { ...redirect, status: redirectStatus ?? redirect.status } }),
    ...(mirrors.length > 0 && { mirrors }),
  };
}

/** Who is asked about requests; undefined, with a problem, when there is nobody. */
function authorizationBy(
  filter: HTTPExternalAuthFilter,
  from: GrantSubject,
  field: string,
  resolve: (ref: BackendTarget) => ResolvedCluster | undefined,
  problems: Problem[],
): ExternalAuthorization | undefined {
  const { backendRef: ref, protocol } = filter;
  const backend = resolve({ ...ref, ...(protocol === 'GRPC' && { protocol: 'http2' as const }) });
  if (backend && !backend.picker) {
    const port = ref.port === undefined ? '' : `:${ref.port}`;
    return externalAuthorization(filter, backend.cluster, `${ref.name}.${ref.namespace ?? from.namespace}.svc${port}`);
  }
  const what = backend ? 'an InferencePool authorizes nobody' : 'there is nobody to ask (see ResolvedRefs)';
  problems.push({ field: `${field}.externalAuth.backendRef`, message: `${what}; name a Service that speaks the protocol` });
  return undefined;
}

/** What is mirrored to an InferencePool goes to any of its endpoints: there is nobody to ask, for the answer is not waited for. */
function mirrorsOf(mirrors: RuleFilters['mirrors'], resolve: (ref: BackendTarget) => ResolvedCluster | undefined): readonly Mirror[] {
  return mirrors.flatMap((mirror): Mirror[] => {
    const backend = resolve(mirror.backendRef);
    return backend ? [{ cluster: backend.cluster, millionths: mirrorShare(mirror) }] : [];
  });
}
