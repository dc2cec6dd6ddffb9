/** HTTPRoute matches. A match that no proxy could evaluate is a problem of its rule, found here and not in Envoy. */
import { RE2JS } from 're2js';
import type { HttpMatch, NamedMatch, PathMatch, StringMatch } from '../ir/route.ts';
import type { HTTPHeaderMatch, HTTPPathMatch, HTTPRouteMatch } from '../kube/types/gateway-api.ts';
import type { Problem } from '../policy/problem.ts';

/** Checks a regular expression as Envoy will: RE2 syntax, the same limits. Returns what is wrong. */
export function regexProblem(regex: string): string | undefined {
  try {
    RE2JS.compile(regex);
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `${JSON.stringify(regex)} is not a regular expression that RE2 accepts (${why}); lookaround and backreferences are not supported`;
  }
}

/** Translates one match; problems name their field below `field`. */
export function httpMatch(match: HTTPRouteMatch, field: string): { readonly match: HttpMatch; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const result: HttpMatch = {
    path: pathMatch(match.path, `${field}.path`, problems),
    ...(match.method && { method: match.method }),
    headers: namedMatches(match.headers, `${field}.headers`, problems, (name) => name.toLowerCase()),
    queryParams: namedMatches(match.queryParams, `${field}.queryParams`, problems, (name) => name),
  };
  return { match: result, problems };
}

function pathMatch(path: HTTPPathMatch | undefined, field: string, problems: Problem[]): PathMatch {
  const value = path?.value ?? '/';
  switch (path?.type ?? 'PathPrefix') {
    case 'Exact':
      return { type: 'exact', value };
    case 'PathPrefix':
      // A trailing slash is ignored: `/abc/` means `/abc` (Gateway API: PathMatchPathPrefix).
      return { type: 'prefix', value: value.length > 1 ? value.replace(/\/+$/, '') || '/' : '/' };
    case 'RegularExpression':
      check(regexProblem(value), `${field}.value`, problems);
      return { type: 'regex', value };
    default:
      problems.push({ field: `${field}.type`, message: `unknown type ${path?.type}; use Exact, PathPrefix or RegularExpression` });
      return { type: 'exact', value };
  }
}

/** Translates matches of headers or query parameters, of any kind of route; names are brought into the form in which they are compared. */
export function namedMatches(
  matches: readonly HTTPHeaderMatch[] | undefined,
  field: string,
  problems: Problem[],
  canonical: (name: string) => string,
): readonly NamedMatch[] {
  const seen = new Set<string>();
  return (matches ?? []).flatMap((m, i) => {
    const name = canonical(m.name);
    // Only the first entry of a name counts (Gateway API: HTTPHeaderMatch.name).
    if (seen.has(name)) return [];
    seen.add(name);
    return [{ name, value: stringMatch(m, `${field}[${i}]`, problems) }];
  });
}

function stringMatch(m: HTTPHeaderMatch, field: string, problems: Problem[]): StringMatch {
  if (m.type !== 'RegularExpression') return { type: 'exact', value: m.value };
  check(regexProblem(m.value), `${field}.value`, problems);
  return { type: 'regex', value: m.value };
}

function check(problem: string | undefined, field: string, problems: Problem[]): void {
  if (problem !== undefined) problems.push({ field, message: problem });
}
