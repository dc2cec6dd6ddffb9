/**
 * GRPCRoute rules are HTTP rules: `service` and `method` are the two segments of the path of a POST.
 * Source: Gateway API, GRPCRouteMatch and GRPCMethodMatch.
 */
import { escapeRegex } from '../ir/regex.ts';
import type { HttpMatch, PathMatch } from '../ir/route.ts';
import type { Ctx } from '../krt/index.ts';
import type { GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule } from '../kube/types/gateway-api.ts';
import type { Problem } from '../policy/problem.ts';
import { namedMatches, regexProblem } from './httproute-match.ts';
import type { GrantSubject } from './referencegrant.ts';
import { type RuleId, type RuleInputs, type TranslatedRule, translateRule } from './route-rule.ts';

/** Translates a rule of a GRPCRoute. Without matches it takes every call (Gateway API: GRPCRouteRule.matches). */
export function translateGrpcRule(ctx: Ctx, inputs: RuleInputs, from: GrantSubject, rule: GRPCRouteRule, id: RuleId): TranslatedRule {
  const matches = (rule.matches?.length ? rule.matches : [{}]).map((m, i) => grpcMatch(m, `${id.field}.matches[${i}]`));
  return translateRule(ctx, inputs, from, { ...rule, matches, policies: {}, problems: [], invalidStatus: 503 }, id);
}

/** Translates one match; problems name their field below `field`. */
export function grpcMatch(match: GRPCRouteMatch, field: string): { readonly match: HttpMatch; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const headers = namedMatches(match.headers, `${field}.headers`, problems, (name) => name.toLowerCase());
  const grpc = { service: match.method?.service?.length ?? 0, method: match.method?.method?.length ?? 0 };
  return { match: { path: methodPath(match.method, `${field}.method`, problems), headers, queryParams: [], grpc }, problems };
}

function methodPath(match: GRPCMethodMatch | undefined, field: string, problems: Problem[]): PathMatch {
  const { service, method } = match ?? {};
  if (!service && !method) return { type: 'prefix', value: '/' };
  if (match?.type !== 'RegularExpression') {
    if (service && method) return { type: 'exact', value: `/${service}/${method}` };
    // A method of any service has no prefix to go by.
    return service ? { type: 'prefix', value: `/${service}` } : { type: 'regex', value: `/[^/]+/${escapeRegex(method ?? '')}` };
  }
  for (const [name, text] of [
    ['service', service],
    ['method', method],
  ] as const) {
    const problem = text ? regexProblem(text) : undefined;
    if (problem !== undefined) problems.push({ field: `${field}.${name}`, message: problem });
  }
  return { type: 'regex', value: `/${segment(service)}/${segment(method)}` };
}

/** Grouped, so that an alternation stays within its segment. */
function segment(regex: string | undefined): string {
  return regex ? `(?:${regex})` : '[^/]+';
}
