/**
 * [CustomAuthorization] -> two filters: RBAC with shadow rules, which only notes in metadata whether a rule matches, and ext_authz, which asks
 * where that note is. (Istio: action CUSTOM; its names of the metadata are those that dashboards and `istioctl` know.)
 *
 * ext_authz stands in a composite filter: on a route it cannot be given another provider, timeout or failure mode.
 */
import type { Authorization, CustomAuthorization, ExternalAuthorization, TextMatch } from '../../ir/authorization.ts';
import { scopeHeader } from '../../ir/names.ts';
import {
  type Any,
  ApiVersion,
  type ConfigListenerFilter,
  type GrpcService,
  type MetadataMatcher,
  RBAC_Action,
  type StatusCode,
  type StringMatcher,
  any,
} from '../proto/index.ts';
import { duration } from '../translate/values.ts';
import { compositeFilter, execute } from './composite.ts';
import type { PolicyFilter } from './order.ts';
import { networkRbac, rbacRules } from './rbac.ts';

type Identity = Authorization['identity'];

const extAuthz = 'envoy.filters.http.ext_authz';
const shadowPrefix = 'istio_ext_authz_';
const policyPrefix = 'istio-ext-authz-';

/** The rules as shadow rules: whatever they say, nobody is refused by them. */
function noted(custom: CustomAuthorization, identity: Identity) {
  const marked = (custom.enforced ?? []).map((rule) => ({ ...rule, name: policyPrefix + rule.name }));
  return rbacRules({ dryRun: marked }, RBAC_Action.DENY, identity, shadowPrefix);
}

const customSettings = {
  stat_prefix: 'custom',
  filter_enabled_metadata: isNoted('envoy.filters.http.rbac'),
  // The header chooses whose routes and policies hold: nobody but ourselves may write it.
  decoder_header_mutation_rules: {
    allow_all_routing: { value: true },
    allow_envoy: { value: true },
    disallow_expression: { regex: scopeHeader },
  },
};

/** Filters of a chain. What nobody is to be asked about passes both without effect. */
export const customAuthorization: readonly PolicyFilter[] = [
  {
    name: 'kgateway.rbac.custom',
    chain: any('envoy.extensions.filters.http.rbac.v3.RBAC', { shadow_rules_stat_prefix: shadowPrefix }),
    forScope: ({ authorization }) =>
      authorization?.custom?.enforced &&
      any('envoy.extensions.filters.http.rbac.v3.RBACPerRoute', { rbac: noted(authorization.custom, authorization.identity) }),
  },
  compositeFilter('kgateway.ext_authz', extAuthz, ({ authorization }) =>
    authorization?.custom?.enforced ? httpExtAuthz(authorization.custom.provider, customSettings) : undefined,
  ),
];

const externalAuthName = 'kgateway.external_auth';

/** ExternalAuth filters of routes, which configure it (translate/route.ts). */
export const externalAuth: PolicyFilter = compositeFilter(externalAuthName, extAuthz, () => undefined);

/** Configuration of a route whose requests are asked about. */
export function externalAuthConfig(service: ExternalAuthorization): Readonly<Record<string, Any>> {
  // What the service says is added to the request, without what frames it or says where it goes.
  const decoder_header_mutation_rules = {
    disallow_system: { value: true },
    disallow_expression: { regex: `${scopeHeader}|host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer` },
  };
  return { [externalAuthName]: execute(extAuthz, httpExtAuthz(service, { stat_prefix: 'route', decoder_header_mutation_rules })) };
}

/** Filters of a TCP chain, which can ask over gRPC alone: what notes, and what asks. */
export function networkAuthorization(custom: CustomAuthorization, identity: Identity): readonly ConfigListenerFilter[] {
  const { provider } = custom;
  const ask = any('envoy.extensions.filters.network.ext_authz.v3.ExtAuthz', {
    stat_prefix: 'tcp.',
    transport_api_version: ApiVersion.V3,
    grpc_service: grpcService(provider),
    failure_mode_allow: provider.failOpen,
    filter_enabled_metadata: isNoted('envoy.filters.network.rbac'),
    metadata_context_namespaces: [identityMetadata],
  });
  return [networkRbac(noted(custom, identity)), { name: 'envoy.filters.network.ext_authz', typed_config: ask }];
}

/** Where a waypoint has the identity of the client, which the provider gets too. */
const identityMetadata = 'envoy.filters.listener.proxy_protocol';

function isNoted(filter: string): MetadataMatcher {
  return {
    filter,
    path: [{ key: `${shadowPrefix}shadow_effective_policy_id` }],
    value: { string_match: { prefix: policyPrefix } },
  };
}

function httpExtAuthz(provider: ExternalAuthorization, settings: object): Any {
  const { body } = provider;
  return any('envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
    ...settings,
    transport_api_version: ApiVersion.V3,
    ...(provider.protocol === 'grpc' ? { grpc_service: grpcService(provider) } : { http_service: httpService(provider) }),
    failure_mode_allow: provider.failOpen,
    clear_route_cache: provider.clearRouteCache,
    status_on_error: { code: provider.statusOnError as StatusCode },
    metadata_context_namespaces: [identityMetadata],
    ...(provider.requestHeaders.length > 0 && { allowed_headers: headerNames(provider.requestHeaders) }),
    disallowed_headers: { patterns: [{ exact: scopeHeader }] },
    ...(body && {
      with_request_body: { max_request_bytes: body.maxBytes, allow_partial_message: body.allowPartial, pack_as_bytes: body.asBytes },
    }),
  });
}

function grpcService({ cluster, authority, timeoutMs }: ExternalAuthorization): GrpcService {
  return { envoy_grpc: { cluster_name: cluster, authority }, timeout: duration(timeoutMs) };
}

function httpService(p: ExternalAuthorization) {
  const list = (names: readonly TextMatch[]) => (names.length > 0 ? headerNames(names) : undefined);
  return {
    server_uri: { uri: `http://${p.authority}`, cluster: p.cluster, timeout: duration(p.timeoutMs) },
    path_prefix: p.pathPrefix,
    authorization_request: {
      // Fixed values: what looks like a command of Envoy's formats is none.
      headers_to_add: p.additionalHeaders.map(({ name, value }) => ({ key: name, value: value.replaceAll('%', '%%') })),
    },
    authorization_response: {
      allowed_upstream_headers: list(p.headersToUpstreamOnAllow),
      allowed_client_headers: list(p.headersToDownstreamOnDeny),
      allowed_client_headers_on_success: list(p.headersToDownstreamOnAllow),
    },
  };
}

function headerNames(names: readonly TextMatch[]) {
  return { patterns: names.map(headerName) };
}

function headerName(name: TextMatch): StringMatcher {
  if (name.type === 'present') return { safe_regex: { regex: '.*' } };
  return { [name.type]: name.value, ignore_case: true };
}
