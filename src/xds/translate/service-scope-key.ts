/**
 * Which scope a request at a waypoint belongs to: `<address>|<port>` of the Service that its connection asked for, as ztunnel said.
 * A bar separates the parts, as IPv6 addresses are full of colons.
 */
import { type ScopeKey, scopeKey, scopedRoutes } from './scope-key.ts';

/** `10.96.0.1|80`: name of a scope. `address` is in its canonical form. */
export function serviceScopeName(address: string, port: number): string {
  return `${address}|${port}`;
}

/** The key of every request. */
export const destinationScopeKey: ScopeKey = scopeKey('%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%');

/** The same in a chain that serves one place: a range of addresses, none of which is the key. */
export function serviceScopeKey(address: string, port: number): ScopeKey {
  return scopeKey(serviceScopeName(address, port));
}

/** The same where whatever passed the connection on has written it into filter state. */
export function statedScopeKey(state: string): ScopeKey {
  return scopeKey(`%FILTER_STATE(${state}:PLAIN)%`);
}

export const serviceScopedRoutes = scopedRoutes('services', '|');
