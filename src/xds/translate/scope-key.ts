/**
 * Which scope a request belongs to: `<chain>:<host>`, written into a header that only Envoy writes.
 *
 *   [early header mutation] -> [scope of the exact host] -> no route there: [fallback filters] -> [scope `*` of the chain]
 *                                                                                └─> another listener of the port owns the host: 421
 *
 * Keys are compared byte for byte. Envoy cuts the port off; upper case and a trailing dot are left to the fallback, so that the common
 * request pays nothing for them. Measured in docs/decisions/0006-scoped-routes.md.
 */
import { hostScopeName, scopeHeader, wildcardHost } from '../../ir/names.ts';
import { type HttpConnectionManager, HeaderValueOption_HeaderAppendAction as Append, any } from '../proto/index.ts';
import { overAds } from './values.ts';

/** Sets the key of every request that enters `chain`. */
export function hostScopeKey(chain: string): ScopeKey {
  return scopeKey(hostScopeName(chain, '%REQ(:AUTHORITY)%'));
}

/** Every chain of a proxy names the same subscription, so Envoy keeps the scopes once. */
export const hostScopedRoutes = scopedRoutes('hosts', ':');

export type ScopeKey = NonNullable<HttpConnectionManager['early_header_mutation_extensions']>[number];

/** Writes the key, in Envoy's format, into the header of scopes, whatever its client sends in it. */
export function scopeKey(value: string): ScopeKey {
  return {
    name: 'kgateway.scope_key',
    typed_config: any('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation', {
      mutations: [{ append: { header: { key: scopeHeader, value }, append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD } }],
    }),
  };
}

/** Scoped routes over ADS, by keys of two parts. */
export function scopedRoutes(name: string, element_separator: string): HttpConnectionManager['scoped_routes'] {
  return {
    name,
    scope_key_builder: {
      fragments: [0, 1].map((index) => ({ header_value_extractor: { name: scopeHeader, element_separator, index } })),
    },
    rds_config_source: overAds,
    scoped_rds: { scoped_rds_config_source: overAds },
  };
}

const luaType = 'envoy.extensions.filters.http.lua.v3.Lua';

/**
 * Two filters that run only when no route was found (scopes of exact hosts disable them). Fixed code, the same for everyone; nothing of a user
 * or a request is part of it. `metadata()` looks the route up again, but once only for each filter: hence two. The first tries the host in its
 * canonical form.
 */
const canonicalLua = `
function envoy_on_request(handle)
  local chain, host = (handle:headers():get("${scopeHeader}") or ""):match("^([^:]*):([^:]*)")
  local canonical = host and host:lower():gsub("%.$", "")
  if canonical ~= host then
    handle:headers():replace("${scopeHeader}", chain .. ":" .. canonical)
    handle:clearRouteCache()
    handle:metadata()
  end
end
`;

/**
 * The second tries the wildcards. Without a route in the end it answers 404 itself: the filters behind it have no configuration then, and the
 * buffer would wait for all of the body.
 */
const wildcardLua = `
function envoy_on_request(handle)
  if handle:streamInfo():routeName() ~= "" then
    return
  end
  local chain = (handle:headers():get("${scopeHeader}") or ""):match("^([^:]*):")
  handle:headers():replace("${scopeHeader}", (chain or "") .. ":${wildcardHost}")
  handle:clearRouteCache()
  handle:metadata()
  if handle:streamInfo():routeName() == "" then
    handle:respond({[":status"] = "404"}, "")
  end
end
`;

/**
 * Behind TLS a third one goes before them, for the server name of a connection chose the chain, and a client sends requests for any host over
 * it that the certificate covers. It asks the scope of the port who owns the host: the route there has the name of the owner's chain.
 */
const ownershipLua = `
function envoy_on_request(handle)
  local key = handle:headers():get("${scopeHeader}") or ""
  local chain, port = key:match("^((https%-%d+)%-[^:]*):")
  if not chain then
    return
  end
  handle:headers():replace("${scopeHeader}", port .. ":${wildcardHost}")
  handle:clearRouteCache()
  handle:metadata()
  local owner = handle:streamInfo():routeName()
  if owner ~= "" and owner ~= chain then
    handle:respond({[":status"] = "421"}, "")
    return
  end
  handle:headers():replace("${scopeHeader}", key)
  handle:clearRouteCache()
end
`;

/** The first in chains that terminate TLS. */
export const ownershipFilter = {
  name: 'kgateway.host_ownership',
  typed_config: any(luaType, { default_source_code: { inline_string: ownershipLua } }),
} as const;

/** First in every other chain, in this order. */
export const fallbackFilters = [
  { name: 'kgateway.canonical_host', typed_config: any(luaType, { default_source_code: { inline_string: canonicalLua } }) },
  { name: 'kgateway.wildcard_hosts', typed_config: any(luaType, { default_source_code: { inline_string: wildcardLua } }) },
] as const;
