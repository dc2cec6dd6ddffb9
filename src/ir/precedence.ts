/** The order in which matches are tried. Source: Gateway API, HTTPRouteRule.matches. */
import type { HttpMatch, PathMatch, RouteOrder } from './route.ts';

const pathRank: Record<PathMatch['type'], number> = { exact: 0, regex: 1, prefix: 2 };

/**
 * Compares two matches: negative when `a` is tried first. Exact paths before others, regular expressions before prefixes, longer before
 * shorter, then a method, then more headers, then more query parameters.
 */
export function compareMatches(a: HttpMatch, b: HttpMatch): number {
  // gRPC goes by length alone (Gateway API: GRPCRouteRule.matches). Both kinds never share a host of a listener.
  if (a.grpc && b.grpc) {
    return b.grpc.service - a.grpc.service || b.grpc.method - a.grpc.method || b.headers.length - a.headers.length;
  }
  return (
    pathRank[a.path.type] - pathRank[b.path.type] ||
    b.path.value.length - a.path.value.length ||
    Number(b.method !== undefined) - Number(a.method !== undefined) ||
    b.headers.length - a.headers.length ||
    b.queryParams.length - a.queryParams.length
  );
}

/** Compares routes whose matches are equal: older first, then by `namespace/name`. */
export function compareOrder(a: RouteOrder, b: RouteOrder): number {
  return compareText(a.created, b.created) || compareText(a.key, b.key);
}

/** Compares weights of routes: the higher one is tried first. */
export function compareWeight(a: RouteOrder, b: RouteOrder): number {
  return (b.weight ?? 0) - (a.weight ?? 0);
}

/** Byte order, not that of a locale: every replica must come to the same configuration. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
