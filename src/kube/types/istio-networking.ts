// networking.istio.io/v1: the fields that we read. Written by hand; source: Istio's CRDs.
import type { Condition, KubeObject, ObjectMeta } from './meta.ts';

export interface ServiceEntryPort {
  readonly number: number;
  readonly name: string;
  /** HTTP, HTTPS, GRPC, GRPC-Web, HTTP2, MONGO, TCP or TLS, in any case. */
  readonly protocol?: string;
  readonly targetPort?: number;
}

/** How the hosts of a ServiceEntry become addresses. Absent: NONE. */
export type ServiceEntryResolution = 'NONE' | 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN' | 'DYNAMIC_DNS';

/** One workload: the spec of a WorkloadEntry, also inline in a ServiceEntry. */
export interface WorkloadEntrySpec {
  /** An IP address, a DNS name (resolution DNS) or a socket `unix://...`. */
  readonly address?: string;
  /** Port number by name of the ServiceEntry's port. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly network?: string;
  /** `region/zone/subzone`. */
  readonly locality?: string;
  readonly weight?: number;
  readonly serviceAccount?: string;
}

export interface ServiceEntry extends KubeObject {
  readonly spec: {
    readonly hosts: readonly string[];
    /** IP addresses or CIDRs. */
    readonly addresses?: readonly string[];
    readonly ports?: readonly ServiceEntryPort[];
    readonly location?: 'MESH_EXTERNAL' | 'MESH_INTERNAL';
    readonly resolution?: ServiceEntryResolution;
    readonly endpoints?: readonly WorkloadEntrySpec[];
    readonly workloadSelector?: { readonly labels?: Readonly<Record<string, string>> };
    readonly exportTo?: readonly string[];
    readonly subjectAltNames?: readonly string[];
  };
  readonly status?: {
    /** What istiod allocated, by host. */
    readonly addresses?: readonly { readonly value: string; readonly host?: string }[];
    readonly conditions?: readonly Partial<Condition>[];
  };
}

export interface WorkloadEntry extends KubeObject {
  readonly metadata: ObjectMeta;
  readonly spec: WorkloadEntrySpec;
}

export interface OutlierDetection {
  readonly consecutive5xxErrors?: number;
  readonly consecutiveGatewayErrors?: number;
  readonly consecutiveLocalOriginFailures?: number;
  readonly interval?: string;
  readonly baseEjectionTime?: string;
  readonly maxEjectionPercent?: number;
  readonly minHealthPercent?: number;
  readonly splitExternalLocalOriginErrors?: boolean;
}

export interface TrafficPolicySettings {
  readonly loadBalancer?: {
    readonly simple?: string;
    readonly consistentHash?: {
      readonly httpHeaderName?: string;
      readonly httpQueryParameterName?: string;
      readonly useSourceIp?: boolean;
      readonly httpCookie?: { readonly name: string; readonly path?: string; readonly ttl?: string };
      readonly ringHash?: { readonly minimumRingSize?: number };
      readonly maglev?: { readonly tableSize?: number };
      /** Deprecated by Istio; ringHash wins. */
      readonly minimumRingSize?: number;
    };
    readonly localityLbSetting?: {
      readonly enabled?: boolean;
      readonly failover?: readonly { readonly from?: string; readonly to?: string }[];
      readonly failoverPriority?: readonly string[];
      readonly distribute?: readonly { readonly from?: string; readonly to?: Readonly<Record<string, number>> }[];
    };
    readonly warmup?: Readonly<Record<string, unknown>>;
  };
  readonly connectionPool?: {
    readonly tcp?: {
      readonly maxConnections?: number;
      readonly connectTimeout?: string;
      readonly idleTimeout?: string;
      readonly maxConnectionDuration?: string;
      readonly tcpKeepalive?: { readonly probes?: number; readonly time?: string; readonly interval?: string };
    };
    readonly http?: {
      readonly http1MaxPendingRequests?: number;
      readonly http2MaxRequests?: number;
      readonly maxRequestsPerConnection?: number;
      readonly maxRetries?: number;
      readonly idleTimeout?: string;
      readonly h2UpgradePolicy?: string;
      readonly maxConcurrentStreams?: number;
    };
  };
  readonly outlierDetection?: OutlierDetection;
  readonly tls?: {
    readonly mode?: 'DISABLE' | 'SIMPLE' | 'MUTUAL' | 'ISTIO_MUTUAL';
    readonly sni?: string;
    readonly subjectAltNames?: readonly string[];
    readonly credentialName?: string;
    readonly clientCertificate?: string;
    readonly privateKey?: string;
    readonly caCertificates?: string;
    readonly caCrl?: string;
    readonly insecureSkipVerify?: boolean;
  };
}

export interface DestinationRule extends KubeObject {
  readonly spec: {
    readonly host: string;
    readonly trafficPolicy?: TrafficPolicySettings & {
      readonly portLevelSettings?: readonly (TrafficPolicySettings & { readonly port?: { readonly number?: number } })[];
    };
    readonly subsets?: readonly { readonly name: string; readonly labels?: Readonly<Record<string, string>> }[];
    readonly exportTo?: readonly string[];
    readonly workloadSelector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  };
}
