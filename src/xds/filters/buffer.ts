import { any } from '../proto/index.ts';
import { unlimited } from '../translate/values.ts';
import type { PolicyFilter } from './order.ts';

const perRoute = 'envoy.extensions.filters.http.buffer.v3.BufferPerRoute';

/** TrafficPolicy.buffer: the request is read whole before it goes on; 413 when it is larger. */
export const buffer: PolicyFilter = {
  name: 'envoy.filters.http.buffer',
  // The filter insists on a limit in the chain; every scope says `noop`, or it would hold back each body until its end.
  chain: any('envoy.extensions.filters.http.buffer.v3.Buffer', { max_request_bytes: unlimited }),
  noop: any(perRoute, { disabled: true }),
  forRoute: ({ buffer: policy }) =>
    policy === undefined || policy === 'disabled'
      ? undefined
      : any(perRoute, { buffer: { max_request_bytes: { value: policy.maxBytes } } }),
};
