/**
 * HTTPRoute rules: their matches, timeouts and retries. Filters and backends are those of every kind of route (route-rule.ts).
 */
import type { RetryPolicy, RoutePolicies } from '../ir/policy.ts';
import type { Ctx } from '../krt/index.ts';
import type { HTTPRouteRetry, HTTPRouteRule } from '../kube/types/gateway-api.ts';
import { parseDuration } from '../policy/duration.ts';
import type { Problem } from '../policy/problem.ts';
import { httpMatch } from './httproute-match.ts';
import type { GrantSubject } from './referencegrant.ts';
import { type RuleId, type RuleInputs, type TranslatedRule, translateRule } from './route-rule.ts';

/** Translates a rule of an HTTPRoute. Without matches it takes every request (Gateway API: HTTPRouteRule.matches). */
export function translateHttpRule(ctx: Ctx, inputs: RuleInputs, from: GrantSubject, rule: HTTPRouteRule, id: RuleId): TranslatedRule {
  const matches = (rule.matches?.length ? rule.matches : [{}]).map((m, i) => httpMatch(m, `${id.field}.matches[${i}]`));
  const problems: Problem[] = [];
  const policies = routePolicies(rule, id.field, problems);
  return translateRule(ctx, inputs, from, { ...rule, matches, policies, problems }, id);
}

function routePolicies({ timeouts, retry }: HTTPRouteRule, field: string, problems: Problem[]): RoutePolicies {
  const requestMs = parseDuration(timeouts?.request, `${field}.timeouts.request`, problems);
  const backendMs = parseDuration(timeouts?.backendRequest, `${field}.timeouts.backendRequest`, problems);
  const backoffMs = parseDuration(retry?.backoff, `${field}.retry.backoff`, problems);
  // Without retries a backend request is the request, so the smaller of the two timeouts holds (Gateway API: HTTPRouteTimeouts).
  const limitMs = retry ? requestMs : shorter(requestMs, backendMs);
  return {
    ...(limitMs !== undefined && { timeouts: { requestMs: limitMs } }),
    ...(retry && { retry: retryOf(retry, backendMs, backoffMs) }),
  };
}

/** Of timeouts that may be absent, or 0, which is no limit. */
function shorter(...timeoutsMs: readonly (number | undefined)[]): number | undefined {
  const said = timeoutsMs.filter((ms) => ms !== undefined);
  const limits = said.filter((ms) => ms > 0);
  return limits.length > 0 ? Math.min(...limits) : said[0];
}

function retryOf({ codes = [], attempts = 1 }: HTTPRouteRetry, perTryTimeoutMs: number | undefined, backoffMs = 25): RetryPolicy {
  return {
    retryOn: ['connect-failure', 'refused-stream', 'reset', 'unavailable', 'cancelled', 'retriable-status-codes'],
    statusCodes: codes.map(Number),
    attempts,
    backoffBaseMs: Math.max(1, backoffMs),
    ...(perTryTimeoutMs && { perTryTimeoutMs }),
  };
}
