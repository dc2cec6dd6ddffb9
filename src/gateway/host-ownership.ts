/**
 * Who owns a host on a port of HTTPS.
 *
 *   [HTTPS listeners of a port] -> its owner's name at each of their hostnames, with the answer 421 for all others
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
