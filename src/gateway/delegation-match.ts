/**
 * What a child of a delegation matches: never more than the rule above it. Source: kgateway, route delegation.
 *
 *   [matches of the parent's rule] x [matches of the child's rule] -> those that fit, or with inherited matches both in one
 */
import { escapeRegex } from '../ir/regex.ts';
import type { HttpMatch, NamedMatch, PathMatch } from '../ir/route.ts';

/**
 * The matches of a child's rule that lie within those of the parent's rule, which must be path prefixes. Without `inherits` a match has to
 * repeat what the parent asks for: a path below the parent's, its headers and query parameters, its method. With it, paths are relative, the
 * rest of the parent's match is added, and the parent's wins where both name the same header or parameter.
 */
export function matchesWithin(parent: readonly HttpMatch[], child: readonly HttpMatch[], inherits: boolean): readonly HttpMatch[] {
  const matches = parent.flatMap((above) => child.flatMap((own) => (inherits ? joined(above, own) : within(above, own)) ?? []));
  // A match that fits several of the parent's is one all the same.
  return [...new Map(matches.map((m) => [JSON.stringify(m), m])).values()];
}

function within(parent: HttpMatch, child: HttpMatch): HttpMatch | undefined {
  const path = pathWithin(parent.path, child.path);
  if (!path) return undefined;
  const asked = (own: readonly NamedMatch[], above: readonly NamedMatch[]): boolean => above.every((a) => own.some((o) => same(a, o)));
  if (!asked(child.headers, parent.headers) || !asked(child.queryParams, parent.queryParams)) return undefined;
  if (parent.method !== undefined && child.method !== parent.method) return undefined;
  return { ...child, path };
}

function joined(parent: HttpMatch, child: HttpMatch): HttpMatch | undefined {
  if (parent.path.type !== 'prefix') return undefined;
  const method = parent.method ?? child.method;
  return {
    path: pathBelow(parent.path.value, child.path),
    ...(method !== undefined && { method }),
    headers: [...parent.headers, ...child.headers.filter((h) => !parent.headers.some((p) => p.name === h.name))],
    queryParams: [...parent.queryParams, ...child.queryParams.filter((q) => !parent.queryParams.some((p) => p.name === q.name))],
  };
}

function same(a: NamedMatch, b: NamedMatch): boolean {
  return a.name === b.name && a.value.type === b.value.type && a.value.value === b.value.value;
}

/** A prefix goes by segments: `/team` has `/team/a` below it, and not `/teams`. */
function isBelow(prefix: string, path: string): boolean {
  return prefix === '/' || path === prefix || path.startsWith(`${prefix}/`);
}

function pathWithin(parent: PathMatch, child: PathMatch): PathMatch | undefined {
  if (parent.type !== 'prefix') return undefined;
  if (child.type !== 'regex') return isBelow(parent.value, child.value) ? child : undefined;
  if (parent.value === '/') return child;
  if (!child.value.startsWith(parent.value) && !child.value.startsWith(escapeRegex(parent.value))) return undefined;
  // What an expression matches cannot be told from how it begins (`/team/|/admin`): the proxy holds it to the prefix.
  return { ...child, below: narrower(parent.value, child.below) };
}

function pathBelow(prefix: string, child: PathMatch): PathMatch {
  if (prefix === '/') return child;
  if (child.type !== 'regex') return { type: child.type, value: child.value === '/' ? prefix : `${prefix}${child.value}` };
  const own = child.value.replace(/^\^/, '').replace(/(?<!\\)\$$/, '');
  const value = `${escapeRegex(prefix)}${own.startsWith('/') ? '' : '/'}(?:${own})`;
  return { type: 'regex', value, below: narrower(prefix, child.below && `${prefix}${child.below}`) };
}

function narrower(prefix: string, other: string | undefined): string {
  return other !== undefined && isBelow(prefix, other) ? other : prefix;
}
