/**
 * ExtensionRef filters that answer themselves.
 *
 *   [ExtensionRef] -> [DirectResponse] of the namespace of the route -> DirectAnswer, unless the rule has another action already
 */
import type { DirectAnswer } from '../ir/route.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { DirectResponseFields } from '../policy/directresponse/directresponse.ts';
import type { Policy } from '../policy/plugin.ts';
import { type Problem, describeProblems } from '../policy/problem.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import type { ExtensionRef } from './route-filter.ts';

/** DirectResponses by `namespace/name`. */
export type DirectResponses = Collection<Policy<DirectResponseFields>>;

/** True for a reference to a DirectResponse. */
export function isDirectResponse(ref: ExtensionRef): boolean {
  return ref.group === kgatewayGroup && ref.kind === 'DirectResponse';
}

/**
 * The answer of a rule of a route in `namespace`, if it has one. `others` are its other actions, as the user sees them. A DirectResponse
 * beside another action is a problem (kgateway), and so is one that does not exist: the filter must not be skipped (Gateway API: ExtensionRef).
 */
export function directAnswer(
  ctx: Ctx,
  responses: DirectResponses,
  namespace: string,
  refs: readonly ExtensionRef[],
  others: readonly string[],
  field: string,
  problems: Problem[],
): DirectAnswer | undefined {
  const [ref, ...more] = refs.filter(isDirectResponse);
  if (!ref) return undefined;
  const complain = (message: string): undefined => void problems.push({ field, message });
  const name = `DirectResponse ${namespace}/${ref.name}`;
  const existing = [...others, ...(more.length > 0 ? ['another DirectResponse'] : [])];
  if (existing.length > 0) {
    return complain(`${name} cannot be applied to route with existing action: the rule has ${existing.join(' and ')}; keep one of them`);
  }
  const response = ctx.fetchOne(responses, `${namespace}/${ref.name}`);
  if (!response) return complain(`extensionRef: ${name} not found`);
  if (response.problems.length > 0) return complain(`${name}: ${describeProblems(response.problems)}`);
  return response.fields.answer;
}
