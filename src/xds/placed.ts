/**
 * Endpoints as the proxies of one place see them.
 *
 *     ScopeView + Place -> the same resources, those with `placed` in the bytes of their place
 *
 * Encoded when the first proxy of a place asks, once for all of the place, and kept as long as the endpoints stay.
 */
import type { Endpoints, Place } from '../ir/backend.ts';
import { remembered } from './remembered.ts';
import { type XdsResource, versionOf } from './resource.ts';
import type { ScopeView } from './store.ts';
import { encodeEndpoints } from './translate/cluster.ts';

const bytesOf = remembered<Endpoints, Map<string, Pick<XdsResource, 'version' | 'bytes'>>>(() => new Map());
const resourcesOf = remembered<XdsResource, Map<string, XdsResource>>(() => new Map());

/** The view of a proxy that runs in `place`. */
export function placedView(view: ScopeView, place: Place): ScopeView {
  if (place.zone === undefined && place.node === undefined) return view;
  return {
    names: (type) => view.names(type),
    get: (type, name) => {
      const resource = view.get(type, name);
      return resource?.placed ? placed(resource, resource.placed, place) : resource;
    },
  };
}

function placed(resource: XdsResource, endpoints: Endpoints, place: Place): XdsResource {
  const key = groupOf(endpoints, place);
  return atKey(resourcesOf(resource), key, () => ({
    ...resource,
    ...atKey(bytesOf(endpoints), key, () => {
      const bytes = encodeEndpoints(endpoints, place);
      return { bytes, version: versionOf(bytes) };
    }),
  }));
}

/** Places that see the same: of a preference for zones, all nodes of a zone. */
function groupOf({ prefers }: Endpoints, { zone = '', node = '' }: Place): string {
  return prefers === 'node' ? `${zone}/${node}` : zone;
}

function atKey<V>(values: Map<string, V>, key: string, make: () => V): V {
  let value = values.get(key);
  if (value === undefined) values.set(key, (value = make()));
  return value;
}
