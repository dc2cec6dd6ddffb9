/**
 * HTTPRoute rules: their matches, timeouts and retries. Filters and backends are those of every kind of route (route-rule.ts).
 */
import type { RetryPolicy, RoutePolicies, Timeouts } from '../ir/policy.ts';
import type { Ctx } from '../krt/index.ts';
import type { HTTPRouteRetry, HTTPRouteRule, HTTPRouteTimeouts } from '../kube/types/gateway-api.ts';
import { durationMs, invalidDuration } from '../policy/duration.ts';
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

function routePolicies(rule: HTTPRouteRule, field: string, problems: Problem[]): RoutePolicies {
  const timeouts = timeoutsOf(rule.timeouts, rule.retry, `${field}.timeouts`, problems);
  const retry = retryOf(rule.retry, rule.timeouts, `${field}.retry`, problems);
  return { ...(timeouts && { timeouts }), ...(retry && { retry }) };
}

/** Without retries a backend request is the request, so the smaller of the two timeouts holds (Gateway API: HTTPRouteTimeouts). */
function timeoutsOf(
  timeouts: HTTPRouteTimeouts | undefined,
  retry: HTTPRouteRetry | undefined,
  field: string,
  problems: Problem[],
): Timeouts | undefined {
  const request = parseDuration(timeouts?.request, `${field}.request`, problems);
  const backend = retry ? undefined : parseDuration(timeouts?.backendRequest, `${field}.backendRequest`, problems);
  const limits = [request, backend].filter((ms): ms is number => ms !== undefined && ms > 0);
  if (limits.length > 0) return { requestMs: Math.min(...limits) };
  return request === undefined && backend === undefined ? undefined : { requestMs: 0 };
}

function retryOf(
  retry: HTTPRouteRetry | undefined,
  timeouts: HTTPRouteTimeouts | undefined,
  field: string,
  problems: Problem[],
): RetryPolicy | undefined {
  if (!retry) return undefined;
  const perTry = parseDuration(timeouts?.backendRequest, 'spec.rules.timeouts.backendRequest', problems);
  const backoff = parseDuration(retry.backoff, `${field}.backoff`, problems);
  return {
    retryOn: ['connect-failure', 'refused-stream', 'reset', 'unavailable', 'cancelled', 'retriable-status-codes'],
    statusCodes: (retry.codes ?? []).map(Number),
    attempts: retry.attempts ?? 1,
    backoffBaseMs: Math.max(1, backoff ?? 25),
    ...(perTry && { perTryTimeoutMs: perTry }),
  };
}

function parseDuration(text: string | undefined, field: string, problems: Problem[]): number | undefined {
  if (text === undefined) return undefined;
  const ms = durationMs(text);
  if (ms === undefined) problems.push({ field, message: invalidDuration(text) });
  return ms;
}
