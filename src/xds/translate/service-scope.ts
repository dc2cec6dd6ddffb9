/**
 * [ServiceScope] -> ScopedRouteConfiguration, one for each address and port of a Service.
 *
 * The address that a connection asks for chooses the scope, so the authority of a request does not: virtual hosts only keep apart routes that
 * name hosts. In each, routes of consumers stand before all others, and behind them a 404 for the rest of what those clients ask.
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import { scopeHeader, wildcardHost } from '../../ir/names.ts';
import type { HostRoutes } from '../../ir/route.ts';
import type { ServiceRoutes, ServiceScope } from '../../ir/waypoint.ts';
import { compareText } from '../../ir/precedence.ts';
import { scopeFilterConfigs } from '../filters/order.ts';
import { type Route, type RouteMatch, type VirtualHost, encode } from '../proto/index.ts';
import { TypeUrl, type XdsResource, resourceOf } from '../resource.ts';
import { routeOf } from './route.ts';
import { clustersOf, idleFiltersOf, orderedRoutes, originsOf } from './scope.ts';
import { placeFacts } from './service-facts.ts';
import { serviceScopeName } from './service-scope-key.ts';

/** Translates the routes of a Service port under one address. */
export function serviceScopeResource(place: ServiceScope): XdsResource {
  const items = [...place.services.flatMap((s) => s.ofService), ...place.ofWaypoint];
  const name = serviceScopeName(place.address, place.port);
  const bytes = encode('envoy.config.route.v3.ScopedRouteConfiguration', {
    name,
    key: { fragments: [{ string_key: place.address }, { string_key: String(place.port) }] },
    route_configuration: {
      name,
      virtual_hosts: virtualHosts(place),
      ignore_port_in_host_matching: true,
      validate_clusters: { value: false },
      request_headers_to_remove: [scopeHeader],
      typed_per_filter_config: {
        ...idleFiltersOf('http', place),
        ...scopeFilterConfigs(place),
      },
      max_direct_response_body_size_bytes: { value: 1 << 20 },
    },
  });
  return resourceOf(
    TypeUrl.scopedRoute,
    { scope: place.scope, name, origins: originsOf([...items, place], place) },
    bytes,
    clustersOf([...items, { rules: place.services.map((s) => s.byDefault) }], place),
  );
}

/** Of several services each has the virtual host that it is, so that its name wins over one that a route of another may name. */
function virtualHosts(place: ServiceScope): VirtualHost[] {
  const byName = new Map(place.services.flatMap((s) => serviceVirtualHosts(place, s)).map((v) => [v.name, v]));
  return [...byName.values()].sort((a, b) => b.name.length - a.name.length || compareText(a.name, b.name));
}

function serviceVirtualHosts(place: ServiceScope, service: ServiceRoutes): readonly (VirtualHost & { readonly name: string })[] {
  const named = new Set([...service.ofService, ...place.ofWaypoint].map((i) => i.host).filter((h) => coversHost(service.host, h)));
  const consumers = Map.groupBy(
    service.ofService.filter((i) => i.clientNamespace !== undefined),
    (i) => i.clientNamespace ?? '',
  );
  const producers = service.ofService.filter((i) => i.clientNamespace === undefined);
  const others = producers.length + place.ofWaypoint.length === 0 ? [defaultRoute(place, service)] : undefined;
  const metadata = placeFacts(place, service);
  return [...named.add(service.host)].map((host) => ({
    name: host,
    domains: [host],
    ...(metadata && { metadata }),
    routes: [
      ...[...consumers].flatMap(([namespace, items]) =>
        [
          ...routesUnder(host, items),
          { name: `${serviceScopeName(place.address, place.port)}/no-route`, match: { prefix: '/' }, direct_response: { status: 404 } },
        ].map((r) => onlyFrom(namespace, r)),
      ),
      ...(others ?? [...routesUnder(host, producers), ...routesUnder(host, place.ofWaypoint)]),
    ],
  }));
}

/** Routes of the host itself, behind them those of less specific ones: precedence goes by hostname, it does not end there. */
function routesUnder(host: string, items: readonly HostRoutes[]): readonly Route[] {
  const covering = [...new Set(items.map((i) => i.host))].filter((h) => h === host || coversHost(h, host));
  covering.sort((a, b) => b.length - a.length || compareText(a, b));
  return covering.flatMap((h) => orderedRoutes(items.filter((i) => i.host === h)));
}

function coversHost(pattern: string, host: string): boolean {
  return pattern === wildcardHost || (pattern.startsWith('*.') && host.endsWith(pattern.slice(1)) && host !== pattern);
}

function defaultRoute({ port }: ServiceScope, { byDefault }: ServiceRoutes): Route {
  const [match] = byDefault.matches;
  if (!match) throw new Error(`the default route of ${byDefault.name} has no match`);
  return routeOf(byDefault, match, 0, { host: wildcardHost, entry: { scheme: 'http', port } });
}

/** Matches only clients whose identity is of the namespace. Neither a trust domain nor a name contains a slash. */
function onlyFrom(namespace: string, route: Route): Route {
  const match: RouteMatch = {
    ...route.match,
    filter_state: [{ key: peerPrincipalState, string_match: { contains: `/ns/${namespace}/sa/` } }],
  };
  return { ...route, match };
}
