/**
 * What clusters of the Gateway API Inference Extension have besides the usual.
 *
 *   pool              the endpoint that its picker named in metadata, in the order of its list; none named, or none of the pool: any
 *   fail-open-picker  found dead without requests, for a request whose body has been sent to a dead one cannot be taken back
 */
import { type Cluster as EnvoyCluster, any } from '../proto/index.ts';
import { destinationEndpoint, endpointMetadata, servedEndpoint } from '../filters/endpoint-picker.ts';

const leastRequest = {
  name: 'envoy.load_balancing_policies.least_request',
  typed_config: any('envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest', {}),
};

/** The cluster of a pool. Only endpoints of the pool are ever chosen, so that a picker cannot lead a request elsewhere. */
const pool: Partial<EnvoyCluster> = {
  load_balancing_policy: {
    policies: [
      {
        typed_extension_config: {
          name: 'envoy.load_balancing_policies.override_host',
          typed_config: any('envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost', {
            override_host_sources: [{ metadata: { key: endpointMetadata, path: [{ key: destinationEndpoint }] } }],
            selected_host_key: { key: endpointMetadata, path: [{ key: servedEndpoint }] },
            fallback_policy: { policies: [{ typed_extension_config: leastRequest }] },
          }),
        },
      },
    ],
  },
};

/**
 * The cluster of a picker that requests go on without: whether it can be connected to is tried every second. Without any that lives a request fails
 * before it was sent, which is when it can go on. No outlier detection: one stream that a picker resets would keep all others from it.
 */
const failOpenPicker: Partial<EnvoyCluster> = {
  common_lb_config: { healthy_panic_threshold: { value: 0 } },
  health_checks: [
    {
      tcp_health_check: {},
      interval: { seconds: 1 },
      // Unless given it is a minute, and holds for the first interval of a picker that is asked meanwhile.
      no_traffic_interval: { seconds: 1 },
      timeout: { seconds: 1 },
      unhealthy_threshold: { value: 1 },
      healthy_threshold: { value: 1 },
    },
  ],
};

/** By what a cluster is in inference. */
export const inferenceOptions = { pool, 'fail-open-picker': failOpenPicker } as const;
