/**
 * Which listener of a port owns a host.
 *
 *   [listeners that share a chain: HTTP]          -> boundaries: hosts without rules, that less specific listeners do not get
 *   [listeners with a chain each: HTTPS of a port] -> its owner's name at each of their hostnames, with the answer 421 for all others
 *
 * The server name of a connection chooses the chain, the host of each request on it need not be the same (RFC 9110, 7.4 and 15.5.20;
 * Gateway API: Listener.hostname). How the fallback filter asks: src/xds/translate/scope-key.ts.
 */
import { ownershipChain } from '../ir/names.ts';
import type { HostRoutes } from '../ir/route.ts';
import { type GatewayListener, entryOf, listenerOrigin } from './gateway-listener.ts';
import type { GatewayView } from './gateway.ts';

/** What each HTTPS listener that shares its port says of its hostname. A listener that is alone owns all that reaches it. */
export function hostOwnership(view: GatewayView): readonly HostRoutes[] {
  const ports = Map.groupBy(
    view.listeners.filter((l) => l.valid && l.protocol === 'HTTPS'),
    (l) => l.port,
  );
  return [...ports.values()].filter((listeners) => listeners.length > 1).flatMap((listeners) => listeners.map((l) => owned(view, l)));
}

function owned(view: GatewayView, l: GatewayListener): HostRoutes {
  const origin = listenerOrigin(l);
  return {
    scope: view.key,
    chain: ownershipChain(l.port),
    host: l.hostname,
    owner: l.hostname,
    entry: entryOf(l),
    order: { created: '', key: '' },
    rules: [
      {
        name: l.chain,
        origin,
        matches: [{ path: { type: 'prefix', value: '/' }, headers: [], queryParams: [] }],
        action: { type: 'direct', status: 421 },
        policies: {},
      },
    ],
    origin,
    ownership: true,
  };
}

/**
 * Hosts that listeners own where several share a chain, with or without routes: without them, a request for a listener without routes would be
 * served by a less specific one.
 */
export function listenerBoundaries(view: GatewayView): readonly HostRoutes[] {
  const valid = view.listeners.filter((l) => l.valid);
  return valid
    .filter((l) => valid.some((other) => other !== l && other.chain === l.chain))
    .map((l) => ({
      scope: view.key,
      chain: l.chain,
      host: l.hostname,
      owner: l.hostname,
      entry: entryOf(l),
      order: { created: '', key: '' },
      rules: [],
      origin: listenerOrigin(l),
    }));
}
