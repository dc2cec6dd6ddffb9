/**
 * Rules on both sides of a delegation.
 *
 *   [RouteRule of the child] + [RouteRule of each parent] -> RouteRule with the filters of all      [RouteRule that delegates] -> what is left of it
 */
import type { HttpMatch, RouteAction, RouteRule } from '../ir/route.ts';
import { type InheritedPriority, prefersParent } from '../policy/inheritance.ts';
import type { Delegate } from './route-rule.ts';

/** A rule above, with the priority of its route. */
export interface ParentRule {
  readonly rule: RouteRule;
  readonly priority: InheritedPriority;
}

/** The rule of a child as it serves below its parents, the nearest first. */
export function delegatedRule(rule: RouteRule, matches: readonly HttpMatch[], parents: readonly ParentRule[]): RouteRule {
  // It may serve by itself too, and below other rules: each has a name, and what hangs on it (rate limits), of its own.
  const name = [rule, ...parents.map((p) => p.rule)].map((r) => r.name).join('@');
  return withParentFilters({ ...rule, name, matches }, parents);
}

/**
 * The rule of a child with the filters of its parents, the nearest first. A filter is a unit: that of the child stands, or that of a parent that
 * is preferred. A prefix that a parent rewrites is the one that the child matches.
 */
function withParentFilters(rule: RouteRule, parents: readonly ParentRule[]): RouteRule {
  return parents.reduce<RouteRule>((below, { rule: above, priority }) => {
    const [first, second] = prefersParent(priority) ? [above, below] : [below, above];
    const requestHeaders = first.requestHeaders ?? second.requestHeaders;
    const responseHeaders = first.responseHeaders ?? second.responseHeaders;
    const session = first.session ?? second.session;
    // Whoever may pass above is asked about there, whatever those below prefer.
    const externalAuth = above.externalAuth ?? below.externalAuth;
    return {
      ...below,
      ...(session && { session }),
      ...(externalAuth && { externalAuth }),
      ...(requestHeaders && { requestHeaders }),
      ...(responseHeaders && { responseHeaders }),
      action: joinActions(below.action, first.action, second.action),
    };
  }, rule);
}

function joinActions(own: RouteAction, first: RouteAction, second: RouteAction): RouteAction {
  if (own.type !== 'forward' || first.type !== 'forward' || second.type !== 'forward') return own;
  const hostRewrite = first.hostRewrite ?? second.hostRewrite;
  const pathRewrite = first.pathRewrite ?? second.pathRewrite;
  return {
    ...own,
    ...(hostRewrite !== undefined && { hostRewrite }),
    ...(pathRewrite && { pathRewrite }),
    mirrors: first.mirrors.length > 0 ? first.mirrors : second.mirrors,
  };
}

/**
 * What a rule that delegates serves itself, behind its children: its other backends, and 500 for the share of references that nothing fulfils.
 * Undefined when its children have it all.
 */
export function leftOver(rule: RouteRule, unfulfilled: readonly Delegate[]): RouteRule | undefined {
  if (rule.action.type !== 'forward') return { ...rule, yields: true };
  const backends = [...rule.action.backends, ...unfulfilled.map(({ weight }) => ({ weight }))];
  return backends.length === 0 ? undefined : { ...rule, yields: true, action: { ...rule.action, backends } };
}
