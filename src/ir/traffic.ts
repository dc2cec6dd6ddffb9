/** How proxies treat a backend: [DestinationRule] -> ClusterTraffic of each cluster that it is about, at each waypoint that sees it. */
import type { UpstreamTls } from './backend.ts';
import type { LocalityPolicy } from './locality.ts';
import type { ObjectRef } from './object-ref.ts';

/** Requests with the same value go to the same endpoint, as long as it is there. */
export interface ConsistentHash {
  readonly by:
    | { readonly from: 'header' | 'query'; readonly name: string }
    /** Without the cookie a request gets one, if there is a time to live. */
    | { readonly from: 'cookie'; readonly name: string; readonly path?: string; readonly ttlMs?: number }
    | { readonly from: 'source-ip' };
  readonly table: { readonly kind: 'ring'; readonly minimumSize?: number } | { readonly kind: 'maglev'; readonly size?: number };
}

/** An endpoint that fails too often gets no requests for a while. Times in milliseconds. Absent: Envoy's defaults; 0 switches a check off. */
export interface OutlierDetection {
  readonly consecutive5xx?: number;
  readonly consecutiveGatewayErrors?: number;
  readonly consecutiveLocalOriginFailures?: number;
  readonly splitLocalOriginErrors?: boolean;
  readonly intervalMs?: number;
  readonly baseEjectionMs?: number;
  readonly maxEjectionPercent?: number;
  /** Below this share of healthy endpoints, all get requests. */
  readonly minHealthPercent: number;
}

/** A Secret that the TLS settings of a DestinationRule name, as a waypoint has it. Problems say what is wrong with it now, in words of the user. */
export interface TlsCredential {
  /** Name of the SDS secret with its key pair; with a problem it is the last valid one. */
  readonly pair: { readonly sds: string; readonly problem?: string } | { readonly sds?: never; readonly problem: string };
  /** In PEM. */
  readonly ca: { readonly pem: string; readonly crl?: string } | { readonly problem: string };
}

export interface ClusterTraffic {
  readonly origin: ObjectRef;
  readonly loadBalancing?: 'round-robin' | 'least-request' | 'random' | ConsistentHash;
  /** What the pool of one proxy is limited to; absent values are not limited. */
  readonly limits?: { readonly connections?: number; readonly pending?: number; readonly requests?: number; readonly retries?: number };
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly maxConnectionMs?: number;
  readonly keepalive?: { readonly probes?: number; readonly timeSeconds?: number; readonly intervalSeconds?: number };
  readonly requestsPerConnection?: number;
  readonly concurrentStreams?: number;
  /** HTTP/2, whatever the Service says. */
  readonly http2?: boolean;
  readonly outlierDetection?: OutlierDetection;
  /** Which endpoints get requests from the proxies of a place. */
  readonly locality?: LocalityPolicy;
  /** Where no BackendTLSPolicy holds. */
  readonly tls?: UpstreamTls;
}
