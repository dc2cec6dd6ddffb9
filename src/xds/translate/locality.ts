/** Endpoints as the proxies of a place are to choose among them: [Endpoint with its place, LocalityPolicy, Place] -> groups with priority and weight. */
import type { Endpoint, Place } from '../../ir/backend.ts';
import {
  type EndpointPlace,
  type Locality,
  type LocalityPolicy,
  type PlacedPolicy,
  networkLabel,
  parseLocality,
  topologyLabels,
} from '../../ir/locality.ts';

/** Endpoints of one place and priority. */
export interface EndpointGroup {
  readonly locality: Locality;
  readonly priority: number;
  /** What it gets in relation to others of its priority; absent where each endpoint counts by itself. */
  readonly weight?: number;
  readonly endpoints: readonly Endpoint[];
}

/** Groups endpoints for the proxies of a place. */
export function endpointGroups(
  endpoints: readonly Endpoint[],
  { policy, proxyLabels }: PlacedPolicy,
  place: Place,
): readonly EndpointGroup[] {
  switch (policy.by) {
    case 'failover':
      return byRank(endpoints, (at) => rank(at, policy, place, proxyLabels));
    case 'shares':
      return byShare(
        byRank(endpoints, () => 0),
        policy,
        place,
      );
    case 'nothing':
      return byRank(endpoints, () => 0);
  }
}

/** Priorities are counted without gaps: where nobody is near, the next are the first. */
function byRank(endpoints: readonly Endpoint[], rankOf: (at: EndpointPlace) => number): readonly EndpointGroup[] {
  const ranks = Map.groupBy(endpoints, (e) => rankOf(e.at ?? e));
  return [...ranks.keys()]
    .toSorted((a, b) => a - b)
    .flatMap((r, priority) =>
      [...Map.groupBy(ranks.get(r) ?? [], (e) => localityKey(e.at ?? e)).values()].map((members) => ({
        locality: members[0]?.at ?? members[0] ?? {},
        priority,
        endpoints: members,
      })),
    );
}

function localityKey({ region = '', zone = '', subzone = '' }: Locality): string {
  return `${region}/${zone}/${subzone}`;
}

type Failover = Extract<LocalityPolicy, { by: 'failover' }>;

/** Most of what `distance` is. */
const distances = 5;

function rank(at: EndpointPlace, { labels, regions }: Failover, place: Place, proxyLabels: Readonly<Record<string, string>>): number {
  if (labels.length === 0) return distance(at, regions, place);
  const byLabels = mismatch(at, labels, place, proxyLabels);
  return regions.length === 0 ? byLabels : byLabels * distances + distance(at, regions, place);
}

/** 0: in the same subzone, 1: zone, 2: region, 3: where the region falls back on, 4: elsewhere. A proxy that knows no place is near to all. */
function distance(at: EndpointPlace, regions: Failover['regions'], place: Place): number {
  if (place.region === undefined && place.zone === undefined) return 0;
  // Who says a zone and no region means that zone, whatever region it is in.
  const sameZone = at.zone !== undefined && at.zone === place.zone && (at.region === undefined || place.region === undefined);
  if (at.region !== place.region && !sameZone) {
    const fallback = regions.find((r) => r.from === place.region);
    return fallback && fallback.to !== at.region ? 4 : 3;
  }
  if (at.zone !== place.zone) return 2;
  return at.subzone === place.subzone ? 0 : 1;
}

/** How many of the labels, from the first that does not match, are lost. Another network comes behind all others of the own one. */
function mismatch(at: EndpointPlace, labels: readonly string[], place: Place, proxyLabels: Readonly<Record<string, string>>): number {
  const differs = labels.map((text) => {
    const [key = '', value] = text.split('=');
    return (value ?? labelOf(key, place, proxyLabels) ?? '') !== (labelOf(key, at, at.labels ?? {}) ?? '');
  });
  const [first, ...others] = differs;
  const isNetwork = labels[0] === networkLabel;
  const lost = (from: readonly boolean[]): number => (from.includes(true) ? from.length - from.indexOf(true) : 0);
  return isNetwork ? lost(others) + (first ? labels.length : 0) : lost(differs);
}

function labelOf(key: string, at: Locality & { readonly node?: string }, labels: Readonly<Record<string, string>>): string | undefined {
  switch (key) {
    case topologyLabels.region:
      return at.region;
    case topologyLabels.zone:
      return at.zone;
    case topologyLabels.subzone:
      return at.subzone;
    case topologyLabels.node:
      return at.node;
    default:
      return labels[key];
  }
}

/** A share for several places is divided by the endpoints that are there. */
function byShare(
  groups: readonly EndpointGroup[],
  { shares }: Extract<LocalityPolicy, { by: 'shares' }>,
  place: Place,
): readonly EndpointGroup[] {
  const holds = shares.find(({ from }) => matches(place, from));
  if (!holds) return groups.map((g) => ({ ...g, weight: sizeOf(g) }));
  const open = new Set(groups);
  // What names a place more closely has it before what covers it.
  const targets = holds.to.toSorted((a, b) => closeness(b.place) - closeness(a.place));
  return targets.flatMap(({ place: target, weight }) => {
    const own = [...open].filter((g) => matches(g.locality, target));
    for (const g of own) open.delete(g);
    const total = own.reduce((sum, g) => sum + sizeOf(g), 0);
    return own.map((g) => ({ ...g, weight: Math.max(1, Math.round((weight * fine * sizeOf(g)) / total)) }));
  });
}

/** Weights are whole numbers: in hundredths, so that a share can be divided. */
const fine = 100;

function sizeOf({ endpoints }: EndpointGroup): number {
  return endpoints.reduce((sum, e) => sum + (e.weight ?? 1), 0);
}

/** `region/zone/subzone`, each of which may be `*` or, from behind, missing. */
function matches(at: Locality, pattern: string): boolean {
  const { region, zone, subzone } = parseLocality(pattern);
  const fits = (wanted: string | undefined, is: string | undefined): boolean => wanted === undefined || wanted === '*' || wanted === is;
  return fits(region, at.region) && fits(zone, at.zone) && fits(subzone, at.subzone);
}

function closeness(pattern: string): number {
  return Object.values(parseLocality(pattern)).filter((part) => part !== '*').length;
}
