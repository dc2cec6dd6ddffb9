/**
 * Where endpoints are in relation to a proxy, and what that means for its choice among them.
 *
 *   [DestinationRule] localityLbSetting -> LocalityPolicy ─┐
 *   Nodes, ServiceEntries, labels ─> EndpointPlace ────────┴─> priorities and weights, as the proxies of one place see them
 */

/** A place: a region has zones, a zone has subzones. */
export interface Locality {
  readonly region?: string;
  readonly zone?: string;
  readonly subzone?: string;
}

/** Where an endpoint is, and what else `failoverPriority` may compare. */
export interface EndpointPlace extends Locality {
  readonly node?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Source: Istio, LocalityLoadBalancerSetting. */
export type LocalityPolicy =
  /** The nearest ones get all requests, as long as they are healthy. */
  | {
      readonly by: 'failover';
      /** What the region `from` falls back on, before all others. */
      readonly regions: readonly { readonly from: string; readonly to: string }[];
      /** Labels, with a value or to compare with those of the proxy: the more of the first ones an endpoint has, the nearer it is. */
      readonly labels: readonly string[];
      /** Nobody asked for it but by outlier detection, so what the Service says of distribution comes first. */
      readonly byDefault: boolean;
    }
  /** Each place gets its share, in relation to the others; places that are not named get nothing. The first that is for the place of the proxy holds. */
  | {
      readonly by: 'shares';
      readonly shares: readonly { readonly from: string; readonly to: readonly { readonly place: string; readonly weight: number }[] }[];
    }
  /** All endpoints are the same, whatever the Service says. */
  | { readonly by: 'nothing' };

/** A policy with what it takes of the proxy besides its place. */
export interface PlacedPolicy {
  readonly policy: LocalityPolicy;
  /** Labels of the Pods of the proxy. */
  readonly proxyLabels: Readonly<Record<string, string>>;
}

/** Labels that stand for the place itself. */
export const topologyLabels = {
  region: 'topology.kubernetes.io/region',
  zone: 'topology.kubernetes.io/zone',
  subzone: 'topology.istio.io/subzone',
  node: 'kubernetes.io/hostname',
} as const;

/** The one that keeps the order of the others when it does not match (Istio: failoverPriority). */
export const networkLabel = 'topology.istio.io/network';

/** `region/zone/subzone`, of which what is behind may be missing. */
export function parseLocality(text: string | undefined): Locality {
  const [region, zone, subzone] = (text ?? '').split('/');
  return { ...(region && { region }), ...(zone && { zone }), ...(subzone && { subzone }) };
}
