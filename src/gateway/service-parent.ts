/**
 * Routes whose parent is a Service (GAMMA): they serve in the scopes that a waypoint keeps for the ports of that Service.
 *
 *   [parentRef: Service | ServiceEntry | Hostname] -> [ServedService] -> its ports -> AttachedListener, one a port
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import type { ServicePortView } from './views.ts';

/** A Service or ServiceEntry that the proxies of a waypoint serve. */
export interface ServedService {
  /** `namespace/name` of the waypoint's Gateway, which is also the scope of its proxies. */
  readonly waypoint: string;
  readonly ref: ObjectRef;
  /** Fully qualified; the first one names its clusters. */
  readonly hostnames: readonly string[];
  /** Virtual IPs: what connections are addressed to. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePortView[];
}
