/** [RouteRule] -> Envoy routes, one a match. */
import type { RetryPolicy, RoutePolicies } from '../../ir/policy.ts';
import { invalidBackendCluster } from '../../ir/names.ts';
import { escapeRegex } from '../../ir/regex.ts';
import type {
  HostRoutes,
  HttpMatch,
  NamedMatch,
  PathMatch,
  PathRewrite,
  Redirect,
  RouteAction as Action,
  RouteRule,
  StringMatch,
  WeightedBackend,
} from '../../ir/route.ts';
import { limits } from '../../ir/transformation.ts';
import { externalAuthConfig } from '../filters/ext-authz.ts';
import { policyFilters } from '../filters/order.ts';
import {
  type Any,
  FractionalPercent_DenominatorType,
  type HeaderMatcher,
  type QueryParameterMatcher,
  type RedirectAction,
  RedirectAction_RedirectResponseCode as RedirectCode,
  type RegexMatcher,
  type Route,
  type RouteAction,
  RouteAction_ClusterNotFoundResponseCode as ClusterNotFound,
  type RouteMatch,
  type RouteRetryPolicy,
  type StringMatcher,
  type WeightedCluster_ClusterWeight,
} from '../proto/index.ts';
import { remembered } from '../remembered.ts';
import { directResponse } from './direct-response.ts';
import { duration, headersToAdd, headersToRemove } from './values.ts';

/** Where a route serves: what its redirects assume. */
export type RoutePlace = Pick<HostRoutes, 'host' | 'entry'>;

/** Envoy's route for one match of a rule. */
export function routeOf(rule: RouteRule, match: HttpMatch, index: number, place: RoutePlace): Route {
  const name = rule.matches.length === 1 ? rule.name : `${rule.name}/${index}`;
  const { headers } = rule.policies;
  const requestModifiers = [rule.requestHeaders, headers?.request];
  const responseModifiers = [rule.responseHeaders, headers?.response];
  return {
    name,
    match: routeMatch(match),
    ...actionOf(rule.action, rule.policies, match, place),
    request_headers_to_add: headersToAdd(requestModifiers),
    request_headers_to_remove: headersToRemove(requestModifiers),
    response_headers_to_add: headersToAdd(responseModifiers),
    response_headers_to_remove: headersToRemove(responseModifiers),
    typed_per_filter_config: { ...filterConfigs(rule.policies), ...(rule.externalAuth && externalAuthConfig(rule.externalAuth)) },
    ...bufferLimit(rule.policies),
  };
}

/** What is read whole for a template, in either direction, may be larger than what a connection buffers otherwise. */
function bufferLimit({ transformation: t }: RoutePolicies): Pick<Route, 'request_body_buffer_limit'> {
  return t?.request?.buffered || t?.response?.buffered ? { request_body_buffer_limit: { value: limits.bodyBytes } } : {};
}

/** What each policy filter does on a route: only those that its policies concern. The same for all matches of a rule, and as long as that lives. */
const filterConfigs = remembered((policies: RoutePolicies): Readonly<Record<string, Any>> => {
  const configs: Record<string, Any> = {};
  for (const filter of policyFilters) {
    const config = filter.forRoute?.(policies);
    if (config) configs[filter.name] = config;
  }
  return configs;
});

function routeMatch(match: HttpMatch): RouteMatch {
  const headers = match.headers.map(headerMatcher);
  if (match.method !== undefined) headers.unshift({ name: ':method', string_match: { exact: match.method } });
  const below = match.path.type === 'regex' ? match.path.below : undefined;
  if (below !== undefined) headers.push({ name: ':path', string_match: { safe_regex: regex(`${escapeRegex(below)}(?:[/?].*)?`) } });
  return { ...pathMatch(match.path), headers, query_parameters: match.queryParams.map(queryMatcher) };
}

function pathMatch(path: PathMatch): RouteMatch {
  if (path.type === 'exact') return { path: path.value };
  if (path.type === 'regex') return { safe_regex: regex(path.value) };
  return path.value === '/' ? { prefix: '/' } : { path_separated_prefix: path.value };
}

function headerMatcher(m: NamedMatch): HeaderMatcher {
  return { name: m.name, string_match: stringMatcher(m.value) };
}

function queryMatcher(m: NamedMatch): QueryParameterMatcher {
  return { name: m.name, string_match: stringMatcher(m.value) };
}

function stringMatcher(m: StringMatch): StringMatcher {
  return m.type === 'exact' ? { exact: m.value } : { safe_regex: regex(m.value) };
}

function regex(text: string): RegexMatcher {
  return { regex: text };
}

function actionOf(
  action: Action,
  policies: RoutePolicies,
  match: HttpMatch,
  place: RoutePlace,
): Pick<Route, 'route' | 'redirect' | 'direct_response'> {
  if (action.type === 'redirect') return { redirect: redirectAction(action.redirect, match, place) };
  if (action.type === 'direct') {
    return { direct_response: directResponse(action) };
  }
  const destination = destinationOf(action.backends);
  // Nothing to send it to: no backendRefs, or none with weight (Gateway API: HTTPRouteRule.backendRefs).
  if (!destination) return { direct_response: { status: action.invalidStatus ?? 500 } };
  return { route: { ...destination, ...forwarding(action, policies, match) } };
}

function destinationOf(backends: readonly WeightedBackend[]): Pick<RouteAction, 'cluster' | 'weighted_clusters'> | undefined {
  const [first, ...others] = backends.filter((b) => b.weight > 0);
  if (!first) return undefined;
  if (others.length === 0 && !isMoreThanPlace(first)) return { cluster: first.cluster ?? invalidBackendCluster };
  return { weighted_clusters: { clusters: [first, ...others].map(clusterWeight) } };
}

/** True when a backend does something with a request, besides being its destination. */
function isMoreThanPlace({ requestHeaders, responseHeaders, hostRewrite, picker }: WeightedBackend): boolean {
  return requestHeaders !== undefined || responseHeaders !== undefined || hostRewrite !== undefined || picker !== undefined;
}

/** What each filter does on a share of the traffic. */
function backendConfigs(backend: WeightedBackend): Pick<WeightedCluster_ClusterWeight, 'typed_per_filter_config'> {
  if (!backend.picker) return {};
  const configs = policyFilters.flatMap((filter) => {
    const config = filter.forBackend?.(backend);
    return config ? [[filter.name, config] as const] : [];
  });
  return { typed_per_filter_config: Object.fromEntries(configs) };
}

function clusterWeight(backend: WeightedBackend): WeightedCluster_ClusterWeight {
  return {
    name: backend.cluster ?? invalidBackendCluster,
    weight: { value: backend.weight },
    request_headers_to_add: headersToAdd([backend.requestHeaders]),
    request_headers_to_remove: headersToRemove([backend.requestHeaders]),
    response_headers_to_add: headersToAdd([backend.responseHeaders]),
    response_headers_to_remove: headersToRemove([backend.responseHeaders]),
    ...(backend.hostRewrite !== undefined && { host_rewrite_literal: backend.hostRewrite }),
    ...backendConfigs(backend),
  };
}

function forwarding(action: Action & { type: 'forward' }, policies: RoutePolicies, match: HttpMatch): RouteAction {
  const { timeouts, retry } = policies;
  return {
    cluster_not_found_response_code:
      action.invalidStatus === 503 ? ClusterNotFound.SERVICE_UNAVAILABLE : ClusterNotFound.INTERNAL_SERVER_ERROR,
    // Without a timeout of the user there is none: Envoy's 15 seconds would cut off long answers and streams.
    timeout: duration(timeouts?.requestMs ?? 0),
    ...(timeouts?.streamIdleMs !== undefined && { idle_timeout: duration(timeouts.streamIdleMs) }),
    ...(retry && { retry_policy: retryPolicy(retry) }),
    ...(action.hostRewrite !== undefined && { host_rewrite_literal: action.hostRewrite }),
    ...(action.pathRewrite && pathRewrite(action.pathRewrite, match)),
    request_mirror_policies: action.mirrors.map(({ cluster, millionths }) => ({
      cluster,
      runtime_fraction: { default_value: { numerator: millionths, denominator: FractionalPercent_DenominatorType.MILLION } },
      disable_shadow_host_suffix_append: true,
    })),
  };
}

function retryPolicy(retry: RetryPolicy): RouteRetryPolicy {
  return {
    retry_on: retry.retryOn.join(','),
    num_retries: { value: retry.attempts },
    retriable_status_codes: [...retry.statusCodes],
    retry_back_off: { base_interval: duration(retry.backoffBaseMs) },
    ...(retry.perTryTimeoutMs !== undefined && { per_try_timeout: duration(retry.perTryTimeoutMs) }),
  };
}

/**
 * `path_separated_prefix` matches `/one` without its slash, so that a replacement of `/` would turn `/one/two` into `//two`:
 * such a rewrite goes by regular expression (Gateway API: HTTPPathModifier.replacePrefixMatch, its table).
 */
function pathRewrite(rewrite: PathRewrite, match: HttpMatch): Pick<RouteAction, 'prefix_rewrite' | 'regex_rewrite'> {
  if (rewrite.type === 'full') return { regex_rewrite: { pattern: regex('^/.*$'), substitution: escapeSubstitution(rewrite.value) } };
  const matched = match.path.type === 'prefix' ? match.path.value : rewrite.matched;
  const value = rewrite.value.length > 1 ? rewrite.value.replace(/\/+$/, '') : rewrite.value;
  if (value === '' || value === '/') {
    return matched === '/' ? {} : { regex_rewrite: { pattern: regex(`^${escapeRegex(matched)}/*`), substitution: '/' } };
  }
  if (matched === '/') return { regex_rewrite: { pattern: regex('^/*'), substitution: escapeSubstitution(`${value}/`) } };
  return { prefix_rewrite: value };
}

function redirectAction(redirect: Redirect, match: HttpMatch, place: RoutePlace): RedirectAction {
  return {
    ...(redirect.scheme && { scheme_redirect: redirect.scheme }),
    ...redirectAuthority(redirect, place),
    ...(redirect.path && redirectPath(redirect.path, match)),
    response_code: redirectCodes[redirect.status] ?? RedirectCode.FOUND,
  };
}

const defaultPorts = { http: 80, https: 443 } as const;

/**
 * Without a port of its own a redirect goes to the default one of its scheme, without a scheme to that of the listener; default ports are
 * left out (Gateway API: HTTPRequestRedirectFilter.port). Envoy keeps the port of the request's Host unless it is given a port, which it
 * then always writes, or a host: so the host is given where it is known.
 */
function redirectAuthority(
  { scheme, hostname, port }: Redirect,
  { host, entry }: RoutePlace,
): Pick<RedirectAction, 'host_redirect' | 'port_redirect'> {
  const target = port ?? (scheme ? defaultPorts[scheme] : entry.port);
  const known = hostname ?? (host.startsWith('*') ? undefined : host);
  if (target !== defaultPorts[scheme ?? entry.scheme]) {
    return { port_redirect: target, ...(hostname !== undefined && { host_redirect: hostname }) };
  }
  if (hostname !== undefined) return { host_redirect: hostname };
  // Nothing but the path changes: the port under which the client came, which may be one that is forwarded to ours, stays.
  if (port === undefined && scheme === undefined) return {};
  if (known !== undefined) return { host_redirect: known };
  return entry.port === defaultPorts[entry.scheme] && scheme !== undefined && scheme !== entry.scheme ? {} : { port_redirect: target };
}

function redirectPath(path: PathRewrite, match: HttpMatch): Pick<RedirectAction, 'path_redirect' | 'prefix_rewrite' | 'regex_rewrite'> {
  if (path.type === 'full') return { path_redirect: path.value };
  return pathRewrite(path, match);
}

const redirectCodes: Readonly<Record<number, RedirectAction['response_code']>> = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
};

function escapeSubstitution(text: string): string {
  return text.replaceAll('\\', '\\\\');
}
