import type { LocalRateLimit } from '../../ir/policy.ts';
import { any } from '../proto/index.ts';
import { duration } from '../translate/values.ts';
import type { PolicyFilter } from './order.ts';

const statPrefix = 'http_local_rate_limiter';

/** TrafficPolicy.rateLimit.local: a token bucket in each Envoy for each route that has it. */
export const localRateLimit: PolicyFilter = {
  name: 'envoy.filters.http.local_ratelimit',
  chain: any('envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit', { stat_prefix: statPrefix }),
  forRoute: ({ localRateLimit: limit }) => (limit === undefined || limit === 'disabled' ? undefined : any(typeName, rateLimit(limit))),
};

const typeName = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';

function rateLimit(limit: LocalRateLimit) {
  return {
    stat_prefix: statPrefix,
    token_bucket: {
      max_tokens: limit.maxTokens,
      tokens_per_fill: { value: limit.tokensPerFill },
      fill_interval: duration(limit.fillIntervalMs),
    },
    filter_enabled: share(limit.enabledPercent),
    filter_enforced: share(limit.enforcedPercent),
  };
}

function share(percent: number) {
  return { default_value: { numerator: percent } };
}
