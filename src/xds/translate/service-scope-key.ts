/**
 * Which scope a request at a waypoint belongs to: `<address>|<port>` of the Service that its connection asked for, as ztunnel said.
 * A bar separates the parts, as IPv6 addresses are full of colons.
 */
import { scopeHeader } from '../../ir/names.ts';
import { type HttpConnectionManager, HeaderValueOption_HeaderAppendAction as Append, any } from '../proto/index.ts';
import { overAds } from './values.ts';

/** The key of a scope. `address` is in its canonical form. */
export function serviceScopeKey(address: string, port: number): readonly [string, string] {
  return [address, String(port)];
}

/** Sets the key of every request, whatever its client sends in the header. */
export const serviceScopeKeyMutation = keyMutation('%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%');

/** The same in a chain that serves one place: a range of addresses, none of which is the key. */
export function placeScopeKeyMutation(address: string, port: number): ReturnType<typeof keyMutation> {
  return keyMutation(serviceScopeKey(address, port).join('|'));
}

function keyMutation(value: string) {
  return {
    name: 'kgateway.scope_key',
    typed_config: any('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation', {
      mutations: [{ append: { header: { key: scopeHeader, value }, append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD } }],
    }),
  };
}

export const serviceScopedRoutes: HttpConnectionManager['scoped_routes'] = {
  name: 'services',
  scope_key_builder: {
    fragments: [0, 1].map((index) => ({ header_value_extractor: { name: scopeHeader, element_separator: '|', index } })),
  },
  rds_config_source: overAds,
  scoped_rds: { scoped_rds_config_source: overAds },
};
