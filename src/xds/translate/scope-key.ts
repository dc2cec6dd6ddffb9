/**
 * Which scope a request belongs to: `<chain>:<host>`, written into a header that only Envoy writes.
 *
 *   [early header mutation] -> [scope of the exact host] -> no route there: [fallback filter] -> [scope `*` of the chain]
 *
 * Keys are compared byte for byte. Envoy cuts the port off; upper case and a trailing dot are left to the fallback, so that the common
 * request pays nothing for them. Measured in docs/decisions/0006-scoped-routes.md.
 */
import { hostScopeName, wildcardHost } from '../../ir/names.ts';
import { type HttpConnectionManager, HeaderValueOption_HeaderAppendAction as Append, any } from '../proto/index.ts';
import { overAds } from './values.ts';

/** Removed before the request goes on; whatever a client sends in it is overwritten first. */
export const scopeHeader = 'x-kgateway-scope';

/** Sets the key of every request that enters `chain`. */
export function scopeKeyMutation(chain: string) {
  return {
    name: 'kgateway.scope_key',
    typed_config: any('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation', {
      mutations: [
        {
          append: {
            header: { key: scopeHeader, value: hostScopeName(chain, '%REQ(:AUTHORITY)%') },
            append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD,
          },
        },
      ],
    }),
  };
}

/** Scoped routes over ADS. Every chain of a proxy names the same subscription, so Envoy keeps the scopes once. */
export const scopedRoutes: HttpConnectionManager['scoped_routes'] = {
  name: 'hosts',
  scope_key_builder: {
    fragments: [0, 1].map((index) => ({ header_value_extractor: { name: scopeHeader, element_separator: ':', index } })),
  },
  rds_config_source: overAds,
  scoped_rds: { scoped_rds_config_source: overAds },
};

/**
 * Runs only when no route was found (scopes of exact hosts disable it): tries the host in its canonical form, then the wildcards.
 * Fixed code, the same for everyone; nothing of a user or a request is part of it.
 */
const fallbackLua = `
function envoy_on_request(handle)
  local headers = handle:headers()
  local chain, host = (headers:get("${scopeHeader}") or ""):match("^([^:]*):([^:]*)")
  if not chain then
    return
  end
  local canonical = host:lower():gsub("%.$", "")
  if canonical ~= host then
    headers:replace("${scopeHeader}", chain .. ":" .. canonical)
    handle:clearRouteCache()
    handle:metadata() -- looks the route up again
    if handle:streamInfo():routeName() ~= "" then
      return
    end
  end
  headers:replace("${scopeHeader}", chain .. ":${wildcardHost}")
  handle:clearRouteCache()
end
`;

/** First in every chain. */
export const fallbackFilter = {
  name: 'kgateway.wildcard_hosts',
  typed_config: any('envoy.extensions.filters.http.lua.v3.Lua', { default_source_code: { inline_string: fallbackLua } }),
};
