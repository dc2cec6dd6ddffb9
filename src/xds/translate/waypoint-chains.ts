/**
 * The filter chains of a waypoint, whoever ended HBONE: connections come with the address that was asked for as their own, and say who their client is.
 *
 *   connection ─┬─ for a TCP Service ───────────────> its chain (waypoint-tcp.ts)
 *               ├─ for one of unknown protocol ─────> its chain, which passes it on to where that is found out (waypoint-detect.ts)
 *               ├─ for a workload, by its own address > a chain of its Deployment (waypoint-workloads.ts)
 *               └─ anything else ───────────────────> HTTP: scopes by address and port
 */
import type { TcpService, WaypointListener } from '../../ir/waypoint.ts';
import type { ConfigListenerFilter, FilterChain, Listener } from '../proto/index.ts';
import { connectionLogs, httpChainName, sourceFacts } from './istio-metrics.ts';
import { detectListenerName, detectedServiceChain } from './waypoint-detect.ts';
import { type WaypointHttp, waypointHttp, waypointHttpFilter } from './waypoint-http.ts';
import { matchedChains, workloadChains } from './waypoint-workloads.ts';
import { clustersOfService, constantChain, distinct, rangeGuards, tcpServiceChain, tlsListenerName } from './waypoint-tcp.ts';

/** How a connection says who its client is: a SPIFFE identity, or nothing. */
export interface ClientIdentity {
  /** Filters that put it into filter state; none when it is there already. First in every chain, before whatever reads it. */
  readonly filters: readonly ConfigListenerFilter[];
  /** Where it is before those filters, in the syntax of access logs. */
  readonly source: string;
}

/** The chains of the listener, and what tells of its connections. */
export function waypointChains(
  listener: WaypointListener,
  identity: ClientIdentity,
): Pick<Listener, 'filter_chains' | 'filter_chain_matcher' | 'default_filter_chain' | 'access_log'> {
  const { tcp } = listener;
  const http = waypointHttp(listener);
  const services = [constantChain, ...rangeGuards(tcp), ...tcp.map((service) => serviceChain(service, identity, http))];
  return {
    // Only chains and their matcher change: whatever else changes of a listener closes every connection through it.
    ...(listener.workloads ? matchedChains([...services, ...workloadChains(listener, identity)], listener) : { filter_chains: services }),
    default_filter_chain: httpChain(identity, http),
    access_log: connectionLogs(http.telemetry),
  };
}

/** The clusters that the chains of the listener lead to. */
export function clustersOfChains({ tcp, workloads }: Pick<WaypointListener, 'tcp' | 'workloads'>): readonly string[] {
  return distinct(
    [...tcp, ...(workloads?.places ?? [])].flatMap((s) =>
      s.tls.length > 0 ? [tlsListenerName] : [...(s.detect ? [detectListenerName] : []), ...clustersOfService(s)],
    ),
  );
}

function serviceChain(service: TcpService, identity: ClientIdentity, http: WaypointHttp): FilterChain {
  return service.detect ? detectedServiceChain(service, identity) : tcpServiceChain(service, identity, http);
}

/** Takes every connection that no TCP Service asked for; where there is no Service at the address, the answer is 404. */
function httpChain({ filters }: ClientIdentity, http: WaypointHttp): FilterChain {
  return { name: httpChainName, filters: [...filters, sourceFacts, waypointHttpFilter(http)] };
}
