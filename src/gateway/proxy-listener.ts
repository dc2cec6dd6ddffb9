/**
 * What the proxies of a Gateway listen on.
 *
 *   [GatewayListener] of a port ─┬─> HttpChain, one for plain HTTP, one a listener for HTTPS
 *   [L4Binding] of its routes ───┴─> TcpChain, one for TCP, one a host for TLS; UdpListener
 */
import type { Chain, HttpChain, ProxyListener, TcpChain, TlsTermination } from '../ir/listener.ts';
import { listenerName } from '../ir/names.ts';
import { type UdpListener, passingThrough } from '../ir/tcp.ts';
import { type GatewayListener, isHttp, listenerOrigin, transportOf } from './gateway-listener.ts';
import { type GatewayView, secretName } from './gateway.ts';
import { anyHost } from './hostname.ts';
import { type L4Binding, servingBindings } from './l4route.ts';
import { udpCluster } from './udp-cluster.ts';

/** Finds the routes of TLS, TCP and UDP by the chain of their listener. */
export type BindingsOf = (chain: string) => readonly L4Binding[];

/** The TCP listeners of a Gateway, one a port. */
export function proxyListeners(view: GatewayView, bindingsOf: BindingsOf): readonly ProxyListener[] {
  if (view.waypoint) return [];
  const valid = view.listeners.filter((l) => l.valid && transportOf(l.protocol) === 'tcp');
  return [...Map.groupBy(valid, (l) => l.port)].map(([port, listeners]) => ({
    scope: view.key,
    name: listenerName(port),
    port,
    chains: [...new Map(listeners.flatMap((l) => chainsOf(l, bindingsOf)).map((c) => [c.name, c])).values()],
    origins: listeners.map(listenerOrigin),
  }));
}

function chainsOf(l: GatewayListener, bindingsOf: BindingsOf): readonly Chain[] {
  return isHttp(l) ? [httpChain(l)] : tcpChains(l, servingBindings(bindingsOf(l.chain)));
}

function httpChain(l: GatewayListener): HttpChain {
  return {
    kind: 'http',
    name: l.chain,
    serverNames: l.protocol === 'HTTPS' && l.hostname !== anyHost ? [l.hostname] : [],
    ...(l.protocol === 'HTTPS' && {
      tls: termination(l, ['h2', 'http/1.1']),
    }),
    origin: listenerOrigin(l),
  };
}

/** With `alpn` unless the listener has some of its own. */
function termination(l: GatewayListener, alpn: readonly string[]): TlsTermination {
  const { parameters, alpn: own = alpn } = l.tls;
  return { secrets: l.certificates.map(secretName), alpn: own, parameters, ...(l.clients && { clients: l.clients }) };
}

/**
 * One chain a host that a route serves. What belongs to the listener and has no route is closed by a chain of its own: a less specific
 * listener must not get it, and a listener without any chain is one that Envoy refuses.
 */
function tcpChains(l: GatewayListener, bindings: readonly L4Binding[]): readonly TcpChain[] {
  const chain = (host: string, backends: TcpChain['backends']): TcpChain => ({
    kind: 'tcp',
    name: l.protocol === 'TLS' ? `${l.chain}/${host}` : l.chain,
    serverNames: host === anyHost ? [] : [host],
    passthrough: l.passthrough,
    ...(l.certificates.length > 0 && { tls: termination(l, []) }),
    backends,
    origin: listenerOrigin(l),
  });
  const served = bindings.map((b) => chain(b.host, l.passthrough ? passingThrough(b.backends) : b.backends));
  return bindings.some((b) => b.host === l.hostname) ? served : [...served, chain(l.hostname, [])];
}

/** The UDP listeners of a Gateway: those that something is routed to. */
export function udpListeners(view: GatewayView, bindingsOf: BindingsOf): readonly UdpListener[] {
  return view.listeners.flatMap((l): UdpListener[] => {
    if (!l.valid || transportOf(l.protocol) !== 'udp') return [];
    const [binding] = servingBindings(bindingsOf(l.chain));
    const cluster = binding && udpCluster(binding);
    if (!binding || cluster === undefined) return [];
    return [
      {
        scope: view.key,
        name: listenerName(l.port, 'udp'),
        port: l.port,
        cluster,
        origins: [listenerOrigin(l), binding.route],
      },
    ];
  });
}
