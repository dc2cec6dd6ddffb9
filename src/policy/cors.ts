import type { CorsOrigin, CorsPolicy } from '../ir/policy.ts';
import { invalidHeaderName, isHeaderName } from '../ir/header-syntax.ts';
import type { Parsed, Problem } from './problem.ts';

/** `*`, or a scheme, a host that may begin with a wildcard, and an optional port (Gateway API: CORSOrigin). */
export const originPattern = '(^\\*$)|(^(http(s)?):\\/\\/(((\\*\\.)?([a-zA-Z0-9\\-]+\\.)*[a-zA-Z0-9-]+|\\*)(:([0-9]{1,5}))?)$)';
/** Methods of HTTPCORSFilter.allowMethods. */
export const corsMethods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', '*'] as const;

// Each label is consumed with its dot or as the last one, so that no input backtracks over more than one label.
const origin = /^(https?):\/\/(?:(\*)|(\*\.)?((?:[a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+))(?::([0-9]{1,5}))?$/;
const methods: ReadonlySet<string> = new Set(corsMethods);
const defaultMaxAgeSeconds = 5;

/** HTTPCORSFilter of the Gateway API. */
export interface CorsSpec {
  readonly allowOrigins?: readonly string[];
  readonly allowMethods?: readonly string[];
  readonly allowHeaders?: readonly string[];
  readonly exposeHeaders?: readonly string[];
  readonly allowCredentials?: boolean;
  readonly maxAge?: number;
}

/** An origin as a user writes it; undefined when it is not one. */
export function corsOrigin(text: string): CorsOrigin | undefined {
  if (text === '*') return { kind: 'any' };
  const match = origin.exec(text);
  if (!match) return undefined;
  const [, scheme, everyHost, wildcard, host = '', portText] = match;
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  if (!everyHost && !wildcard) return { kind: 'exact', origin: text };
  const suffix = everyHost ? '' : `.${host}`;
  return { kind: 'wildcard', scheme: scheme === 'https' ? 'https' : 'http', suffix, ...(port !== undefined && { port }) };
}

/** A CORS filter at `field`, of an HTTPRoute or a TrafficPolicy. */
export function corsPolicy(spec: CorsSpec, field: string): Parsed<CorsPolicy> {
  const problems: Problem[] = [];
  const report = (at: string, message: string): void => void problems.push({ field: `${field}.${at}`, message });
  const aloneIfAny = (list: readonly string[] | undefined, at: string, message: string): readonly string[] => {
    if (list && list.length > 1 && list.includes('*')) report(at, message);
    return list ?? [];
  };

  const allowOrigins = aloneIfAny(spec.allowOrigins, 'allowOrigins', "AllowOrigins cannot contain '*' alongside other origins").flatMap(
    (text, i) => {
      const parsed = corsOrigin(text);
      if (!parsed)
        report(
          `allowOrigins[${i}]`,
          `invalid origin ${JSON.stringify(text)}; write * or a scheme and host such as https://app.example.com:8443 or https://*.example.com`,
        );
      return parsed ? [parsed] : [];
    },
  );
  const allowMethods = aloneIfAny(spec.allowMethods, 'allowMethods', "AllowMethods cannot contain '*' alongside other methods");
  for (const [i, method] of allowMethods.entries()) {
    if (!methods.has(method)) report(`allowMethods[${i}]`, `unknown method ${JSON.stringify(method)}; use ${corsMethods.join(', ')}`);
  }
  const allowHeaders = aloneIfAny(spec.allowHeaders, 'allowHeaders', "AllowHeaders cannot contain '*' alongside other headers");
  const exposeHeaders = spec.exposeHeaders ?? [];
  for (const [at, names] of [
    ['allowHeaders', allowHeaders],
    ['exposeHeaders', exposeHeaders],
  ] as const) {
    for (const [i, name] of names.entries()) {
      if (!isHeaderName(name)) report(`${at}[${i}]`, invalidHeaderName(name));
    }
  }
  const maxAgeSeconds = spec.maxAge ?? defaultMaxAgeSeconds;
  if (!Number.isInteger(maxAgeSeconds) || maxAgeSeconds < 1)
    report('maxAge', `${maxAgeSeconds} is not a whole number of seconds from 1 on`);
  return {
    value: { allowOrigins, allowMethods, allowHeaders, exposeHeaders, allowCredentials: spec.allowCredentials === true, maxAgeSeconds },
    problems,
  };
}
