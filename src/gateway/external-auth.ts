/**
 * [ExternalAuth filter of a rule] -> the authorization service that is asked about each of its requests.
 *
 * Nothing passes unasked: a service that cannot be found or reached refuses everything. Source: Gateway API, HTTPExternalAuthFilter (GEP-1494).
 */
import { posix } from 'node:path';
import type { ExternalAuthorization, TextMatch } from '../ir/authorization.ts';
import type { HTTPExternalAuthFilter } from '../kube/types/gateway-api.ts';

/** How long an answer may take; the Gateway API has no field for it. */
const timeoutMs = 5_000;

/** What the filter asks of the service in `cluster`. `authority` is what requests to it call it. */
export function externalAuthorization(filter: HTTPExternalAuthFilter, cluster: string, authority: string): ExternalAuthorization {
  const { protocol, http, grpc, forwardBody } = filter;
  const upstream = http?.allowedResponseHeaders ?? [];
  const maxBytes = forwardBody?.maxSize ?? 0;
  return {
    name: authority,
    protocol: protocol === 'GRPC' ? 'grpc' : 'http',
    cluster,
    authority,
    timeoutMs,
    failOpen: false,
    clearRouteCache: false,
    statusOnError: 403,
    ...(maxBytes > 0 && { body: { maxBytes, allowPartial: false, asBytes: false } }),
    pathPrefix: pathPrefix(http?.path),
    requestHeaders: exact((protocol === 'GRPC' ? grpc : http)?.allowedHeaders ?? []),
    additionalHeaders: [],
    headersToUpstreamOnAllow: upstream.length > 0 ? exact(upstream) : [{ type: 'present' }],
    headersToDownstreamOnDeny: [],
    headersToDownstreamOnAllow: [],
  };
}

/** In front of a path, which begins with a slash itself. */
function pathPrefix(path = ''): string {
  return posix.normalize(`/${path}`).replace(/\/+$/, '');
}

function exact(names: readonly string[]): readonly TextMatch[] {
  return names.map((value) => ({ type: 'exact', value }));
}
