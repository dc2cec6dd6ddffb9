/** Hostnames of listeners and routes: which of them meet, and which listener of a port owns one. */

/** Any host. */
export const anyHost = '*';

/** True when `pattern` (exact, `*.suffix` or `*`) covers `host`, which may itself be a wildcard: `*.com` covers `*.example.com`. */
export function covers(pattern: string, host: string): boolean {
  if (pattern === anyHost) return true;
  if (pattern.startsWith('*.')) {
    const suffix = pattern.slice(1);
    // `*.example.com` covers `a.example.com` and `*.a.example.com`, not `example.com` (Gateway API: Hostname).
    return host.endsWith(suffix) && host.length > suffix.length;
  }
  return pattern === host;
}

/** The wildcards that cover a host, the most specific first, without the host itself: of `*.b.c` they are `*.c` and `*`. */
export function wildcardsAbove(host: string): readonly string[] {
  if (host === anyHost) return [];
  const labels = host.split('.').slice(1);
  // The first label of a wildcard is not one that another one could stand for.
  const from = host.startsWith('*.') ? 1 : 0;
  return [...labels.keys()]
    .filter((i) => i >= from)
    .map((i) => `*.${labels.slice(i).join('.')}`)
    .concat(anyHost);
}

/** The hosts that both name, or undefined: the more specific of the two when one covers the other. */
export function intersect(a: string, b: string): string | undefined {
  if (covers(a, b)) return b;
  if (covers(b, a)) return a;
  return undefined;
}

/**
 * The hosts under which a route serves behind a listener. A route without hostnames takes those of the listener.
 * Source: Gateway API, HTTPRouteSpec.hostnames. An empty answer means that they do not meet.
 */
export function servedHosts(listener: string | undefined, hostnames: readonly string[] | undefined): readonly string[] {
  const own = listener ? listener.toLowerCase() : anyHost;
  if (!hostnames || hostnames.length === 0) return [own];
  const hosts = new Set<string>();
  for (const hostname of hostnames) {
    const host = intersect(own, hostname.toLowerCase());
    if (host !== undefined) hosts.add(host);
  }
  return [...hosts];
}

/** The most specific of the hostnames that covers the host: exact before wildcard, longer before shorter. */
export function mostSpecific(hostnames: readonly string[], host: string): string | undefined {
  let best: string | undefined;
  for (const hostname of hostnames) {
    if (covers(hostname, host) && (best === undefined || isMoreSpecific(hostname, best))) best = hostname;
  }
  return best;
}

/** Of two hostnames that cover the same host. Length alone does not tell: `a.b` is as long as `*.b`. */
function isMoreSpecific(a: string, b: string): boolean {
  const exact = Number(!a.startsWith('*')) - Number(!b.startsWith('*'));
  return exact > 0 || (exact === 0 && a.length > b.length);
}
