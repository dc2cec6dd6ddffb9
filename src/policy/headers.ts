import type { HeaderModifier, HeaderValue } from '../ir/policy.ts';
import { formatProblem } from '../ir/format.ts';
import { headerValueProblem, invalidHeaderName, isHeaderName } from '../ir/header-syntax.ts';
import type { Parsed, Problem } from './problem.ts';
import { type HeaderSecretRef, type SecretLookup, secretHeaders } from './secret-header.ts';

/** Of fields that hold no references. */
const noSecrets: SecretLookup = () => 'a Secret cannot be named here';

/** A header with its value, or with where the value is. */
export interface HeaderValueSpec {
  readonly name?: string;
  readonly value?: string;
  readonly secretRef?: HeaderSecretRef;
}

/** Headers to set, add and remove, as HTTPRoute filters and TrafficPolicy both write them. */
export interface HeaderModifierSpec {
  readonly set?: readonly HeaderValueSpec[];
  readonly add?: readonly HeaderValueSpec[];
  readonly remove?: readonly string[];
}

/** What is wrong with changing this header, if anything: Envoy refuses the whole configuration over one such name. */
export function headerNameProblem(name: string): string | undefined {
  if (name.startsWith(':')) return `pseudo-header ${JSON.stringify(name)} cannot be modified; use a URLRewrite filter for path and host`;
  if (!isHeaderName(name)) return invalidHeaderName(name);
  if (isHost(name)) return `header ${JSON.stringify(name)} cannot be modified; use a URLRewrite filter with hostname`;
  return undefined;
}

function valueProblem(value: string): string | undefined {
  return headerValueProblem(value) ?? formatProblem(value);
}

export interface HeaderModifierOptions {
  /** Finds the Secrets that values are in. */
  readonly secrets?: SecretLookup | undefined;
  /** `Host` may be set too: to the caller it is more than a header. */
  readonly host?: boolean;
}

/** True for the header whose value is the host that requests are for. */
export function isHost(name: string): boolean {
  return name.toLowerCase() === 'host';
}

/**
 * Checks a header modifier at `field`. Values may hold Envoy's command operators (`%DOWNSTREAM_REMOTE_ADDRESS%`), as in kgateway;
 * callers for whom values are literal (HTTPRoute) double the percent signs first.
 */
export function headerModifier(
  spec: HeaderModifierSpec,
  field: string,
  { secrets = noSecrets, host = false }: HeaderModifierOptions = {},
): Parsed<HeaderModifier> {
  const problems: Problem[] = [];
  const check = (at: string, message: string | undefined): boolean => {
    if (message !== undefined) problems.push({ field: at, message });
    return message === undefined;
  };
  const fromSecret = (name: string | undefined, ref: HeaderSecretRef, at: string): HeaderValue[] => {
    const { value = [], problems: found } = secretHeaders(name, ref, secrets, `${at}.secretRef`);
    problems.push(...found);
    return value.filter((header) => check(name === undefined ? `${at}.secretRef` : `${at}.name`, headerNameProblem(header.name)));
  };
  const nameProblem = (name: string | undefined, withHost: boolean): string | undefined => {
    if (name === undefined) return 'name is required when using an inline value';
    return withHost && isHost(name) ? undefined : headerNameProblem(name);
  };
  const values = (list: readonly HeaderValueSpec[] | undefined, at: string, withHost = false): HeaderValue[] =>
    (list ?? []).flatMap(({ name, value, secretRef }, i) => {
      if ((value === undefined) === (secretRef === undefined)) {
        check(`${at}[${i}]`, 'exactly one of the fields in [value secretRef] must be set');
        return [];
      }
      if (secretRef) return fromSecret(name, secretRef, `${at}[${i}]`);
      const nameOk = check(`${at}[${i}].name`, nameProblem(name, withHost));
      const valueOk = check(`${at}[${i}].value`, valueProblem(value ?? ''));
      return nameOk && valueOk && name !== undefined && value !== undefined ? [{ name, value }] : [];
    });
  const value = {
    set: values(spec.set, `${field}.set`, host),
    add: values(spec.add, `${field}.add`),
    remove: (spec.remove ?? []).filter((name, i) => check(`${field}.remove[${i}]`, headerNameProblem(name))),
  };
  return { value, problems };
}
