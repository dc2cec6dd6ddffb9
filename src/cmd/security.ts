/**
 * [GatewayApi] + AuthorizationPolicies, RequestAuthentications -> the same, with who may do what, and whose tokens are believed, on everything
 * that is served; and what the policies' authors are told.
 *
 *   HostRoutes ─────────┐                                        ┌─> authorized HostRoutes
 *   ProxyListeners ─────┤   (chains of connections)              ├─> authorized ProxyListeners
 *   ServiceScopes ──────┼── place: Gateway, its class, Service ──┼─> authorized ServiceScopes
 *   WaypointListeners ──┘             policies by target         └─> authorized WaypointListeners
 *   Clusters, their endpoints and uses ── those of providers (custom-authorization.ts) ──> the same
 */
import { type KubeObject, keyOf } from '../kube/types/meta.ts';
import type { GatewayApi } from '../gateway/collections.ts';
import type { Authorization } from '../ir/authorization.ts';
import { type ObjectRef, refKey, serviceKey } from '../ir/object-ref.ts';
import type { ProxyListener } from '../ir/listener.ts';
import type { ConditionsReport, StatusReport } from '../ir/report.ts';
import type { ServicePlace, WaypointListener } from '../ir/waypoint.ts';
import { authorizationStatus } from '../istio/authorization-status.ts';
import { type Mesh, meshConfigKey, meshConfigMap, parseMesh, trustDomainsOf } from '../istio/mesh.ts';
import { acceptedCondition } from '../istio/policy.ts';
import { type PolicyPlace, serviceOf } from '../istio/policy-target.ts';
import { requestAuthenticationStatus } from '../istio/requestauthentication.ts';
import { authorizations, meshKey, requestAuthentications, wantedJwks } from '../istio/security.ts';
import { type Collection, type Ctx, type Graph, join, map } from '../krt/index.ts';
import type { MeshApi } from '../waypoint/collections.ts';
import type { ScopeSecurity } from '../xds/filters/order.ts';
import { type GatewayCluster, type PlacesOf, conflictsOf, customPlaces, providerClusters, withProviders } from './custom-authorization.ts';
import type { Sources } from './sources.ts';

/** The parts of the Gateway API that authorization concerns, with it; and the statuses of its policies. */
type Changed = 'hostRoutes' | 'listeners' | 'serviceScopes' | 'clusters' | 'endpoints';

export type Secured = Pick<GatewayApi, Changed> & {
  readonly waypointListeners: Collection<WaypointListener>;
  readonly clusterUses: Collection<GatewayCluster>;
  readonly policyStatuses: Collection<StatusReport>;
  /** Key sets to fetch. */
  readonly wantedJwks: Collection<{ readonly key: string }>;
};

type SecuritySources = Pick<Sources, 'configMaps' | 'authorizationPolicies' | 'requestAuthentications' | 'jwks'>;

/** The MeshConfig: one under `meshKey`, or none. */
export function meshConfigs(g: Graph, sources: Pick<Sources, 'configMaps'>, istioNamespace: string): Collection<Mesh> {
  return map(g, sources.configMaps, { name: 'Mesh', key: () => meshKey }, (ctx, config): Mesh | undefined => {
    const text = keyOf(config) === `${istioNamespace}/${meshConfigMap}` ? config.data?.[meshConfigKey] : undefined;
    if (text === undefined) return undefined;
    const parsed = parseMesh(text);
    // Half a MeshConfig would mean other principals than before.
    if (!parsed) ctx.keepLast();
    return parsed;
  });
}

/** Builds the collections. */
export function secured(
  g: Graph,
  sources: SecuritySources,
  api: GatewayApi,
  ambient: MeshApi | undefined,
  mesh: Collection<Mesh>,
): Secured {
  const providers = providerClusters(g, mesh, api, ambient);
  const { clusterOf } = providers;
  const security = authorizations(g, { authorizationPolicies: sources.authorizationPolicies, mesh, clusterOf });
  const tokens = wantedJwks(g, { requestAuthentications: sources.requestAuthentications, mesh });
  const authentication = requestAuthentications(tokens.policies, sources.jwks);

  const gatewayPlace = (ctx: Ctx, scope: string): PolicyPlace | undefined => {
    const gateway = ctx.fetchOne(api.gateways, scope);
    return gateway && { gateway: gateway.ref, gatewayClass: gateway.className };
  };
  const holdingAt = (ctx: Ctx, place: PolicyPlace, identity: Authorization['identity']): ScopeSecurity | undefined => {
    const authorization = security.at(ctx, place, identity);
    const jwt = authentication.at(ctx, place);
    return authorization || jwt ? { ...(authorization && { authorization }), ...(jwt && { jwt }) } : undefined;
  };
  // All hosts behind a Gateway share it: a change of one of their routes looks at no policy.
  const ofGateways = map(g, api.gateways, { name: 'GatewaySecurity' }, (ctx, { key, ref, className }) => {
    const holding = holdingAt(ctx, { gateway: ref, gatewayClass: className }, 'certificate');
    return holding && { key, holding };
  });
  const hostRoutes = map(g, api.hostRoutes, { name: 'AuthorizedHostRoutes' }, (ctx, host) => {
    const found = ctx.fetchOne(ofGateways, host.scope);
    return found ? { ...host, ...found.holding } : host;
  });
  const listeners = map(g, api.listeners, { name: 'AuthorizedListeners' }, (ctx, listener): ProxyListener => {
    if (!listener.chains.some((c) => c.kind === 'tcp')) return listener;
    const authorization = ctx.fetchOne(ofGateways, listener.scope)?.holding.authorization;
    if (!authorization) return listener;
    const chains = listener.chains.map((c) => (c.kind === 'tcp' ? { ...c, authorization } : c));
    return { ...listener, chains, origins: [...listener.origins, ...authorization.origins] };
  });
  const authorized = <P extends ServicePlace>(ctx: Ctx, service: P): P => {
    const place = gatewayPlace(ctx, service.scope);
    if (!place) return service;
    const holding = holdingAt(ctx, { ...place, ...serviceOf(service.origin) }, 'filter-state');
    return holding ? { ...service, ...holding } : service;
  };
  const serviceScopes = map(g, api.serviceScopes, { name: 'AuthorizedServiceScopes' }, authorized);
  const waypointListeners = map(g, api.waypointListeners, { name: 'AuthorizedWaypointListeners' }, (ctx, listener): WaypointListener => ({
    ...listener,
    trustDomains: trustDomainsOf(ctx.fetchOne(mesh, meshKey)),
    tcp: listener.tcp.map((service) => authorized(ctx, service)),
    ...(listener.workloads && {
      workloads: { ...listener.workloads, places: listener.workloads.places.map((place) => authorized(ctx, place)) },
    }),
  }));

  const httpByService = api.serviceScopes.index('object', (s) => [serviceKey(s.origin)]);
  const tcpByService = api.waypointListeners.index('object', (l) => [...new Set(l.tcp.map((s) => serviceKey(s.origin)))]);
  const byClass = api.gateways.index('class', (v) => [v.className]);
  /** Whether a target is served by us: of others' we say nothing. */
  const placesOf: PlacesOf = (ctx, target) => {
    if (target.kind === 'Gateway') {
      const gateway = ctx.fetchOne(api.gateways, `${target.namespace}/${target.name}`);
      return gateway ? [{ scope: gateway.key }] : [];
    }
    if (target.kind === 'GatewayClass')
      return ctx.fetch(api.gateways, { index: byClass, is: target.name }).map((view) => ({ scope: view.key }));
    const is = serviceKey(target);
    const http = ctx.fetch(api.serviceScopes, { index: httpByService, is });
    const tcp = ctx.fetch(api.waypointListeners, { index: tcpByService, is });
    return [...new Set([...http, ...tcp].map((s) => s.scope))].map((scope) => ({ scope, service: is }));
  };
  const isOurs = (ctx: Ctx, target: ObjectRef): boolean => placesOf(ctx, target).length > 0;
  const places = customPlaces(g, security.policies, placesOf);
  const conflicts = conflictsOf(places);
  const key = (r: StatusReport): string => refKey(r.object);
  const losses = conditionsLost(g, sources);
  const ofAuthorization = map(g, security.policies, { name: 'AuthorizationStatuses', key }, (ctx, policy): StatusReport => {
    const served = policy.targets.filter((t) => isOurs(ctx, t));
    return losses(ctx, authorizationStatus(policy, served, conflicts(ctx, policy.ref)));
  });
  const ofTokens = map(g, tokens.policies, { name: 'RequestAuthenticationStatuses', key }, (ctx, policy): StatusReport => {
    const served = policy.targets.filter((t) => isOurs(ctx, t));
    return losses(
      ctx,
      requestAuthenticationStatus(policy, served, (jwks) => ctx.fetchOne(sources.jwks, jwks)?.problem),
    );
  });
  const policyStatuses = join(g, { name: 'SecurityStatuses' }, [ofAuthorization, ofTokens]);
  return {
    hostRoutes,
    listeners,
    serviceScopes,
    waypointListeners,
    ...withProviders(g, api, providers, places),
    policyStatuses,
    wantedJwks: tokens.wanted,
  };
}

/**
 * istiod applies its own conditions as the whole list, and only when they change: ours go with the old list, and have to be written again. It does
 * not answer to that, as its own are still there.
 */
function conditionsLost(
  g: Graph,
  sources: Pick<SecuritySources, 'authorizationPolicies' | 'requestAuthentications'>,
): (ctx: Ctx, report: ConditionsReport) => ConditionsReport {
  const lost = (object: KubeObject & { readonly status?: { readonly conditions?: readonly { readonly type: string }[] } }) =>
    object.status?.conditions?.some((c) => c.type === acceptedCondition) ? undefined : { key: keyOf(object) };
  const byKind: Readonly<Record<string, Collection<{ readonly key: string }>>> = {
    AuthorizationPolicy: map(g, sources.authorizationPolicies, { name: 'AuthorizationConditionsLost' }, (_ctx, o) => lost(o)),
    RequestAuthentication: map(g, sources.requestAuthentications, { name: 'TokenConditionsLost' }, (_ctx, o) => lost(o)),
  };
  return (ctx, report) => {
    const { kind, namespace, name } = report.object;
    const of = byKind[kind];
    return report.conditions.length > 0 && of && ctx.fetchOne(of, `${namespace}/${name}`) ? { ...report, missing: true } : report;
  };
}
