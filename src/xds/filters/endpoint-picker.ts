/**
 * [EndpointPicker] of a backend -> ext_proc, which asks it for the endpoints of each request (Gateway API Inference Extension, endpoint picker
 * protocol 1.0). It answers in metadata `envoy.lb`, where the cluster of the pool looks (translate/inference-cluster.ts).
 *
 * Configured for a share of a route, not for the route: of several pools by weight each has its own picker.
 */
import type { EndpointPicker, WeightedBackend } from '../../ir/route.ts';
import {
  type Any,
  ExternalProcessor_RouteCacheAction as RouteCacheAction,
  HttpExtProcProcessingMode_BodySendMode as BodyMode,
  HttpExtProcProcessingMode_HeaderSendMode as HeaderMode,
  any,
} from '../proto/index.ts';
import type { PolicyFilter } from './order.ts';

/** Header and metadata in which a picker names endpoints. */
export const destinationEndpoint = 'x-gateway-destination-endpoint';
/** Metadata in which the picker is told who served. */
export const servedEndpoint = 'x-gateway-destination-endpoint-served';
/** Namespace of both in metadata. */
export const endpointMetadata = 'envoy.lb';

/** What a client says about endpoints is dropped before the picker sees it: neither it nor a model server is to believe that. */
export const endpointHeaders: PolicyFilter = {
  name: 'kgateway.endpoint_headers',
  chain: any('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {}),
  forBackend: ({ picker }) => picker && stripped,
};

const stripped = any('envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute', {
  mutations: { request_mutations: [{ remove: destinationEndpoint }, { remove: servedEndpoint }] },
});

/** The question to the picker. */
export const endpointPicker: PolicyFilter = {
  name: 'kgateway.endpoint_picker',
  chain: any('envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor', {
    // Asks nobody unless a backend says whom; the field is required.
    grpc_service: { envoy_grpc: { cluster_name: 'no-endpoint-picker' } },
    processing_mode: { request_header_mode: HeaderMode.SKIP, response_header_mode: HeaderMode.SKIP },
    metadata_options: {
      forwarding_namespaces: { untyped: [endpointMetadata] },
      receiving_namespaces: { untyped: [endpointMetadata] },
    },
    // The pool whose picker was asked gets the request, with the policies that were applied to it, whatever the picker changes.
    route_cache_action: RouteCacheAction.RETAIN,
    status_on_error: { code: 503 },
  }),
  forBackend: ({ picker }: WeightedBackend) => picker && asking(picker),
};

/** Bodies go through the picker both ways as they come; it chooses when it has seen what it needs. */
function asking({ cluster, authority, failOpen }: EndpointPicker): Any {
  return any('envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute', {
    overrides: {
      grpc_service: { envoy_grpc: { cluster_name: cluster, authority } },
      failure_mode_allow: { value: failOpen },
      processing_mode: {
        request_header_mode: HeaderMode.SEND,
        request_body_mode: BodyMode.FULL_DUPLEX_STREAMED,
        request_trailer_mode: HeaderMode.SEND,
        response_header_mode: HeaderMode.SEND,
        response_body_mode: BodyMode.FULL_DUPLEX_STREAMED,
        response_trailer_mode: HeaderMode.SEND,
      },
    },
  });
}
