/**
 * [WaypointListener] -> filter that tells backends who the client is, as `x-forwarded-client-cert`: TLS of the mesh has ended before the request is seen,
 * so Envoy's own header would be empty. What a client says there itself is gone by then. Source: Istio, annotation
 * `ambient.istio.io/xfcc-include-client-identity`.
 */
import { peerPrincipalState } from '../../ir/authorization.ts';
import type { WaypointListener } from '../../ir/waypoint.ts';
import { HeaderValueOption_HeaderAppendAction as Append, type HttpFilter, any } from '../proto/index.ts';

/** First of all filters, so that whatever reads the header reads this one. None unless the Gateway asks for it. */
export function clientCertHeader({
  clientCertHeader: wanted,
  scope,
  trustDomains,
}: Pick<WaypointListener, 'clientCertHeader' | 'scope' | 'trustDomains'>): readonly HttpFilter[] {
  if (!wanted) return [];
  // The ServiceAccount of a waypoint is called like its Gateway.
  const [namespace, account] = scope.split('/');
  const by = `spiffe://${trustDomains[0]}/ns/${namespace}/sa/${account}`;
  const value = `By=${by};URI=%FILTER_STATE(${peerPrincipalState}:PLAIN)%`;
  return [
    {
      name: 'kgateway.client_cert_header',
      typed_config: any('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {
        mutations: {
          request_mutations: [
            { append: { header: { key: 'x-forwarded-client-cert', value }, append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD } },
          ],
        },
      }),
    },
  ];
}
