import { fields, lengthDelimited } from './discovery.ts';
import type { XdsResource } from './resource.ts';

/** Field numbers of envoy.config.route.v3.ScopedRouteConfiguration and RouteConfiguration. */
const routeConfiguration = 5;
const metadata = 17;

/**
 * The same scoped route in other bytes (and the same version), for sending it again after a response that was refused.
 *
 * Envoy 1.40 needs that: it enters the scopes of a response into its map one by one, applies them to the workers at the end, and skips
 * scopes whose content is in the map. The good scopes before a bad one are thus in the map, never applied, and skipped when they come
 * again (source/common/router/scoped_rds.cc, addOrUpdateScopes). Metadata that nobody reads makes the content differ; serialized
 * messages merge by concatenation, so it is appended. Scopes that name an RDS resource are left as they are.
 */
export function distinctScopedRoute(resource: XdsResource, marker: string): XdsResource {
  for (const [number] of fields(Buffer.from(resource.bytes.buffer, resource.bytes.byteOffset, resource.bytes.byteLength))) {
    if (number !== routeConfiguration) continue;
    // metadata { filter_metadata = 1 { key = 1, value = 2: Struct { fields = 1 { key = 1, value = 2 { string_value = 3 } } } } }
    const value = Buffer.concat([lengthDelimited(1, 'sent'), lengthDelimited(2, lengthDelimited(3, marker))]);
    const entry = Buffer.concat([lengthDelimited(1, 'kgateway.xds'), lengthDelimited(2, lengthDelimited(1, value))]);
    const added = lengthDelimited(routeConfiguration, lengthDelimited(metadata, lengthDelimited(1, entry)));
    return { ...resource, bytes: Buffer.concat([resource.bytes, added]) };
  }
  return resource;
}
