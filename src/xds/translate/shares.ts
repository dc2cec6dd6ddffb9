/**
 * [backends of a rule by weight] -> Envoy routes for its shares.
 *
 *   all alike, but for headers and host ─> one route with weighted clusters
 *   one redirects, rewrites paths or mirrors ─> a route each, tried in order: to the first w1 of all, to the first w1 + w2, ...
 *
 * Envoy draws one random number a request, by which every route with a fraction decides, so the fractions of the second form are cumulative.
 */
import type { RouteAction, WeightedBackend } from '../../ir/route.ts';
import { FractionalPercent_DenominatorType, type Route, type RouteMatch } from '../proto/index.ts';

type Forward = RouteAction & { readonly type: 'forward' };

/** A route of its own within a rule. */
export interface Share {
  readonly action: RouteAction;
  /** What follows the name of the rule. */
  readonly suffix: string;
  /** The share and those before it, in millionths of all; absent: whatever is left. */
  readonly upTo?: number;
}

const million = 1_000_000;

/** The routes that a rule takes, in the order in which they are tried. */
export function sharesOf(action: Forward): readonly Share[] {
  const backends = action.backends.filter((b) => b.weight > 0);
  if (!backends.some(takesOwnRoute)) return [{ action, suffix: '' }];
  const total = backends.reduce((sum, b) => sum + b.weight, 0);
  let sum = 0;
  return backends.map((backend, i): Share => {
    sum += backend.weight;
    const share = { action: shareAction(action, backend), suffix: backends.length === 1 ? '' : `/share-${i}` };
    return i === backends.length - 1 ? share : { ...share, upTo: Math.round((sum / total) * million) };
  });
}

/** What the rule does with the share of one backend alone. An invalid one is answered with an error, whatever it was to do. */
export function shareAction(action: Forward, { redirect, pathRewrite, mirrors = [], ...backend }: WeightedBackend): RouteAction {
  if (redirect && backend.cluster !== undefined) return { type: 'redirect', redirect };
  return {
    ...action,
    backends: [{ ...backend, weight: 1 }],
    ...(pathRewrite && { pathRewrite }),
    mirrors: [...action.mirrors, ...mirrors],
  };
}

/** The match of a share's route. */
export function shareMatch(match: RouteMatch | undefined, { upTo }: Share): NonNullable<Route['match']> {
  if (upTo === undefined) return match ?? {};
  return { ...match, runtime_fraction: { default_value: { numerator: upTo, denominator: FractionalPercent_DenominatorType.MILLION } } };
}

function takesOwnRoute({ redirect, pathRewrite, mirrors }: WeightedBackend): boolean {
  return redirect !== undefined || pathRewrite !== undefined || mirrors !== undefined;
}
