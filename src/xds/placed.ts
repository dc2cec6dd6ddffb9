/**
 * Endpoints, and clusters that hold theirs, as the proxies of one place see them.
 *
 *     ScopeView + Place -> the same resources, those with `placed` in the bytes of their place
 *
 * Encoded when the first proxy of a place asks, once for all of the place, and kept as long as the endpoints stay.
 */
import type { Place } from '../ir/backend.ts';
import { type PlacedPolicy, topologyLabels } from '../ir/locality.ts';
import { remembered } from './remembered.ts';
import { type XdsResource, versionOf } from './resource.ts';
import type { ScopeView } from './store.ts';
import { encodeCluster, encodeEndpoints } from './translate/cluster.ts';

type Placed = NonNullable<XdsResource['placed']>;

const bytesOf = remembered<Placed, Map<string, Pick<XdsResource, 'version' | 'bytes'>>>(() => new Map());
const resourcesOf = remembered<XdsResource, Map<string, XdsResource>>(() => new Map());

/** The view of a proxy that runs in `place`. */
export function placedView(view: ScopeView, place: Place): ScopeView {
  if (place.region === undefined && place.zone === undefined && place.node === undefined) return view;
  return {
    names: (type) => view.names(type),
    get: (type, name) => {
      const resource = view.get(type, name);
      return resource?.placed ? placed(resource, resource.placed, place) : resource;
    },
  };
}

function placed(resource: XdsResource, of: Placed, place: Place): XdsResource {
  const key = groupOf(of, place);
  return atKey(resourcesOf(resource), key, () => ({
    ...resource,
    ...atKey(bytesOf(of), key, () => {
      const bytes = 'variant' in of ? encodeCluster(of.cluster, { ...of.variant, place }) : encodeEndpoints(of, place);
      return { bytes, version: versionOf(bytes) };
    }),
  }));
}

/** Places that see the same: of a preference for zones, all nodes of a zone. */
function groupOf(of: Placed, { region = '', zone = '', subzone = '', node = '' }: Place): string {
  const locality = localityOf(of);
  if (locality) return `${region}/${zone}/${subzone}/${comparesNodes(locality) ? node : ''}`;
  return 'prefers' in of && of.prefers === 'node' ? `${zone}/${node}` : zone;
}

function localityOf(of: Placed): PlacedPolicy | undefined {
  if (!('variant' in of)) return of.locality;
  const { discovery } = of.cluster;
  return discovery?.from === 'dns' ? discovery.locality : undefined;
}

function comparesNodes({ policy }: PlacedPolicy): boolean {
  return policy.by === 'failover' && policy.labels.includes(topologyLabels.node);
}

function atKey<V>(values: Map<string, V>, key: string, make: () => V): V {
  let value = values.get(key);
  if (value === undefined) values.set(key, (value = make()));
  return value;
}
