/**
 * [HostRoutes]* of one host -> ScopedRouteConfiguration.
 *
 * An exact host has a scope of its own, so that a change of it is one small resource at any number of hosts. Wildcard hosts of a chain
 * share the scope `*`, which the fallback filters choose when the exact one has no route (scope-key.ts).
 */
import { hostScopeName, scopeHeader, wildcardHost } from '../../ir/names.ts';
import { type ObjectRef, refKey } from '../../ir/object-ref.ts';
import { compareMatches, compareOrder, compareText, compareWeight } from '../../ir/precedence.ts';
import type { HostRoutes, HttpMatch, RouteRule } from '../../ir/route.ts';
import { type ScopeSecurity, policyFilters, scopeFilterConfigs } from '../filters/order.ts';
import { type Any, type Route, type VirtualHost, any, encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { routesOf } from './session.ts';
import { askedCluster } from './network-rbac.ts';
import { fallbackFilters, ownershipFilter } from './scope-key.ts';

/** Key of the scope that a host belongs to, within the proxies of a Gateway. */
export function scopeKeyOf(h: HostRoutes): string {
  return `${h.scope}|${hostScopeName(h.chain, isShared(h) ? wildcardHost : h.host)}`;
}

/** True when the host is one of many in the scope `*`. */
function isShared(h: HostRoutes): boolean {
  return h.ownership === true || isWildcard(h.host);
}

function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

/** Translates what all routes contribute to one scope. */
export function scopeResource(items: readonly HostRoutes[]): XdsResource | undefined {
  const [first] = items;
  if (!first) return undefined;
  const wildcard = isShared(first);
  const host = wildcard ? wildcardHost : first.host;
  const name = hostScopeName(first.chain, host);
  const hosts = wildcard ? wildcardVirtualHosts(items) : [exactVirtualHost(first.host, items)];
  const bytes = encode('envoy.config.route.v3.ScopedRouteConfiguration', {
    name,
    key: { fragments: [{ string_key: first.chain }, { string_key: host }] },
    route_configuration: {
      name,
      virtual_hosts: hosts,
      ignore_port_in_host_matching: true,
      // The share of an invalid backend leads to a cluster that does not exist, and is answered with 500.
      validate_clusters: { value: false },
      request_headers_to_remove: [scopeHeader],
      typed_per_filter_config: {
        ...(wildcard ? noopFilters : idleFiltersOf(first.entry.scheme, first)),
        ...scopeFilterConfigs(first),
      },
      max_direct_response_body_size_bytes: { value: 1 << 20 },
    },
  });
  return resourceOf(TypeUrl.scopedRoute, { scope: first.scope, name, origins: originsOf(items, first) }, bytes, clustersOf(items, first));
}

interface Candidate {
  readonly rule: RouteRule;
  readonly match: HttpMatch;
  readonly matchIndex: number;
  readonly host: HostRoutes;
  readonly ruleIndex: number;
}

/** Every match of every rule, in the order in which they are tried. Source: Gateway API, HTTPRouteRule.matches. */
export function orderedRoutes(items: readonly HostRoutes[]): Route[] {
  const candidates = items.flatMap((host) =>
    host.rules.flatMap((rule, ruleIndex) =>
      rule.matches.map((match, matchIndex): Candidate => ({ rule, match, matchIndex, host, ruleIndex })),
    ),
  );
  candidates.sort(
    (a, b) =>
      compareWeight(a.host.order, b.host.order) ||
      compareMatches(a.match, b.match) ||
      Number(a.rule.yields ?? false) - Number(b.rule.yields ?? false) ||
      compareOrder(a.host.order, b.host.order) ||
      a.ruleIndex - b.ruleIndex ||
      a.matchIndex - b.matchIndex,
  );
  return candidates.flatMap((c) => routesOf(c.rule, c.match, c.matchIndex, c.host));
}

/** The only host of its scope. When its listener serves no other host, nothing falls through to wildcards, which are of other listeners. */
function exactVirtualHost(host: string, items: readonly HostRoutes[]): VirtualHost {
  const routes = orderedRoutes(items);
  if (items.every((i) => i.owner === host))
    routes.push({ name: `${host}/no-route`, match: { prefix: '/' }, direct_response: { status: 404 } });
  return { name: host, domains: ['*'], routes };
}

/** A virtual host for each wildcard (in the table of owners for each host), which also has the rules of the less specific ones of its listener behind its own. */
function wildcardVirtualHosts(items: readonly HostRoutes[]): VirtualHost[] {
  const byHost = Map.groupBy(items, (i) => i.host);
  const hosts = [...byHost.keys()].sort((a, b) => b.length - a.length || compareText(a, b));
  return hosts.map((host) => {
    const owner = byHost.get(host)?.[0]?.owner;
    const lessSpecific = hosts.filter((other) => other !== host && (other === wildcardHost || host.endsWith(other.slice(1))));
    const tail = lessSpecific.flatMap((other) => orderedRoutes((byHost.get(other) ?? []).filter((i) => i.owner === owner)));
    return { name: host, domains: [host], routes: [...orderedRoutes(byHost.get(host) ?? []), ...tail] };
  });
}

const disabled = any('envoy.config.route.v3.FilterConfig', { disabled: true });

/** In the scope of wildcards the filters are in the request already; those that would act on their own are told not to. */
const noopFilters: Record<string, Any> = Object.fromEntries(policyFilters.flatMap((f) => (f.noop ? [[f.name, f.noop]] : [])));

/**
 * In the scope of an exact host filters stay out of the request, except on routes that configure them. Not those that would act on their own:
 * they are in a request whose host was found only in its canonical form (upper case), and `disabled` comes too late for it.
 */
const idleFilters = { http: idle(fallbackFilters), https: idle([ownershipFilter, ...fallbackFilters]) } as const;
const idleLookups = { http: disabledAll(fallbackFilters), https: disabledAll([ownershipFilter, ...fallbackFilters]) } as const;

/** The same, unless a filter may choose the route anew: then it may be one with a policy whose filter would be missing. */
export function idleFiltersOf(scheme: 'http' | 'https', { authorization }: ScopeSecurity): Record<string, Any> {
  const custom = authorization?.custom;
  return custom?.enforced && custom.provider.clearRouteCache ? { ...idleLookups[scheme], ...noopFilters } : idleFilters[scheme];
}

function idle(lookups: readonly { readonly name: string }[]): Record<string, Any> {
  return { ...disabledAll(lookups), ...Object.fromEntries(policyFilters.map((f) => [f.name, f.noop ?? disabled])) };
}

function disabledAll(filters: readonly { readonly name: string }[]): Record<string, Any> {
  return Object.fromEntries(filters.map((f) => [f.name, disabled]));
}

/** The objects that a scope was made from. */
export function originsOf(items: readonly { readonly origin: ObjectRef }[], security: ScopeSecurity = {}): readonly ObjectRef[] {
  const refs = new Map(
    [...items.map((i) => i.origin), ...(security.authorization?.origins ?? []), ...(security.jwt?.origins ?? [])].map((o) => [
      refKey(o),
      o,
    ]),
  );
  return [...refs.values()];
}

/** The clusters that rules lead to, and the one that requests are asked about at. */
export function clustersOf(items: readonly { readonly rules: readonly RouteRule[] }[], security: ScopeSecurity = {}): readonly string[] {
  const names = new Set<string>();
  const asked = security.authorization && askedCluster(security.authorization);
  if (asked !== undefined) names.add(asked);
  for (const { rules } of items) {
    for (const { action, externalAuth } of rules) {
      if (externalAuth) names.add(externalAuth.cluster);
      if (action.type !== 'forward') continue;
      for (const { cluster, picker, mirrors = [] } of action.backends) {
        if (cluster !== undefined) names.add(cluster);
        if (picker) names.add(picker.cluster);
        for (const mirror of mirrors) names.add(mirror.cluster);
      }
      for (const { cluster } of action.mirrors) names.add(cluster);
    }
  }
  return [...names].sort(compareText);
}
