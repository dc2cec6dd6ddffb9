import type { HeaderModifier, HeaderValue } from '../ir/policy.ts';
import { formatProblem } from './format.ts';
import type { Parsed, Problem } from './problem.ts';

/** An HTTP field name (RFC 9110 token; Gateway API: HTTPHeaderName). */
export const headerNamePattern = "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$";
/** Printable ASCII, words divided by one space or tab. */
export const headerValuePattern = '^[!-~]+([\\t ]?[!-~]+)*$';

const headerName = new RegExp(headerNamePattern);
// Not `headerValuePattern` itself: its nested repetition backtracks exponentially in JavaScript, RE2 does not.
const headerValue = /^[!-~]+(?:[\t ][!-~]+)*$/;

/** Headers to set, add and remove, as HTTPRoute filters and TrafficPolicy both write them. */
export interface HeaderModifierSpec {
  readonly set?: readonly HeaderValue[];
  readonly add?: readonly HeaderValue[];
  readonly remove?: readonly string[];
}

/** What is wrong with changing this header, if anything: Envoy refuses the whole configuration over one such name. */
export function headerNameProblem(name: string): string | undefined {
  if (name.startsWith(':')) return `pseudo-header ${JSON.stringify(name)} cannot be modified; use a URLRewrite filter for path and host`;
  if (!headerName.test(name)) return `invalid header name ${JSON.stringify(name)}; letters, digits and !#$%&'*+-.^_\`|~ are allowed`;
  if (name.toLowerCase() === 'host') return `header ${JSON.stringify(name)} cannot be modified; use a URLRewrite filter with hostname`;
  return undefined;
}

function valueProblem(value: string): string | undefined {
  if (value.length > 4096) return `header value of ${value.length} characters; at most 4096 are allowed`;
  if (!headerValue.test(value))
    return `invalid header value ${JSON.stringify(value)}; use printable ASCII with single spaces between words`;
  return formatProblem(value);
}

/**
 * Checks a header modifier at `field`. Values may hold Envoy's command operators (`%DOWNSTREAM_REMOTE_ADDRESS%`), as in kgateway;
 * callers for whom values are literal (HTTPRoute) double the percent signs first.
 */
export function headerModifier(spec: HeaderModifierSpec, field: string): Parsed<HeaderModifier> {
  const problems: Problem[] = [];
  const check = (at: string, message: string | undefined): boolean => {
    if (message !== undefined) problems.push({ field: at, message });
    return message === undefined;
  };
  const values = (list: readonly HeaderValue[] | undefined, at: string): HeaderValue[] =>
    (list ?? []).flatMap(({ name, value }, i) => {
      const nameOk = check(`${at}[${i}].name`, headerNameProblem(name));
      const valueOk = check(`${at}[${i}].value`, valueProblem(value));
      return nameOk && valueOk ? [{ name, value }] : [];
    });
  const value = {
    set: values(spec.set, `${field}.set`),
    add: values(spec.add, `${field}.add`),
    remove: (spec.remove ?? []).filter((name, i) => check(`${field}.remove[${i}]`, headerNameProblem(name))),
  };
  return { value, problems };
}
