import { TypeUrl } from './resource.ts';
import type { XdsResource } from './resource.ts';

/** What we know of one resource at the client. */
export interface Known {
  /** The version that it acknowledged, on this stream or (initial_resource_versions) an earlier one. */
  accepted: string | undefined;
  /** The acknowledged resource: kept only where a response must repeat it (state of the world). */
  resource: XdsResource | undefined;
  /** Clusters that the acknowledged version names: counted in `StreamState.uses`. */
  uses: readonly string[];
  /** Clusters that versions sent since then name: counted too, the client may be using them. */
  doubtful: readonly string[];
  /** It was in a response that was refused as a whole: the client may have this version instead, '' = one of several. */
  doubt: string | undefined;
  /** It came from an earlier stream in a version that the store no longer has: nobody knows which clusters it names. */
  foreign: boolean;
  /** The version that was refused on its own, with the client's message. Never sent again unasked. */
  rejected: { readonly version: string; readonly message: string } | undefined;
}

/** A resource that waits for its clusters. */
export interface Held {
  readonly of: TypeState;
  readonly name: string;
  /** The timer after which it waits no longer. */
  readonly token: number;
  clusters: readonly string[];
}

/** One response under way. */
export interface InFlight {
  readonly nonce: string;
  readonly put: readonly XdsResource[];
  readonly remove: ReadonlySet<string>;
}

/** One resource type on a stream. */
export interface TypeState {
  readonly type: string;
  wildcard: boolean;
  /** Subscribed by name. */
  readonly names: Set<string>;
  readonly known: Map<string, Known>;
  /** To be looked at before the next response. */
  readonly pending: Set<string>;
  /** To be answered even if the client acknowledged this very version: it asked (again), or it must hear it again. */
  readonly stale: Set<string>;
  readonly held: Map<string, Held>;
  /** Removals that wait, with the timer that ends their grace once nothing else stands in the way. */
  readonly doomed: Map<string, number | undefined>;
  /** Parts of a refused response, each to be sent on its own to find the bad resource. */
  readonly groups: string[][];
  /** The last response was a group: the others have their turn. */
  groupWasLast: boolean;
  inFlight: InFlight | undefined;
  /** The client waits for a first answer, even an empty one. */
  owesAnswer: boolean;
}

/** All that is remembered of a stream. Changed in place by `step` alone. */
export interface StreamState {
  readonly protocol: 'delta' | 'sotw';
  /** Unlike that of any other stream, also of earlier processes. */
  readonly id: string;
  readonly types: Map<string, TypeState>;
  nonces: number;
  /** Last timer asked for, and the highest that fired. Timers all last equally long, so they fire in order. */
  timers: number;
  fired: number;
  /** The timer asked for in the current step, shared by all that begin to wait in it. */
  armed: number | undefined;
  /** How many resources at the client name a cluster. */
  readonly uses: Map<string, number>;
  /** How many resources at the client are `foreign`: while there are any, no cluster is removed. */
  foreign: number;
  /** The timer before which no cluster is removed: after a reconnect the client has yet to say which routes it has. */
  settling: number;
  readonly waiting: Map<string, Set<Held>>;
  /** Rejected resources by cluster that the client did not have then: worth another try when it does. */
  readonly retries: Map<string, Map<string, TypeState>>;
  serving: boolean;
  /** The client had a stream before this one. */
  returned: boolean;
}

/** The order of responses within one step: what is named comes before what names it. */
export const sendOrder: readonly string[] = [
  TypeUrl.cluster,
  TypeUrl.endpoint,
  TypeUrl.listener,
  TypeUrl.route,
  TypeUrl.scopedRoute,
  TypeUrl.secret,
];

/** Types whose first request without names means "all". Types that we do not know are answered with an empty response. */
export function isWildcardType(type: string): boolean {
  return type !== TypeUrl.endpoint && type !== TypeUrl.route && type !== TypeUrl.secret;
}

/** Types whose resources may name clusters. */
export function namesClusters(type: string): boolean {
  return type !== TypeUrl.cluster && type !== TypeUrl.endpoint && type !== TypeUrl.secret;
}

/** State of the world: types whose response must always hold everything, as what is missing counts as removed. */
export function isFullState(state: StreamState, type: string): boolean {
  return state.protocol === 'sotw' && isWildcardType(type);
}

export function newStream(protocol: StreamState['protocol'], id: string): StreamState {
  return {
    protocol,
    id,
    types: new Map(),
    nonces: 0,
    timers: 0,
    fired: 0,
    armed: undefined,
    uses: new Map(),
    foreign: 0,
    settling: 0,
    waiting: new Map(),
    retries: new Map(),
    serving: false,
    returned: false,
  };
}

export function newType(type: string): TypeState {
  return {
    type,
    wildcard: false,
    names: new Set(),
    known: new Map(),
    pending: new Set(),
    stale: new Set(),
    held: new Map(),
    doomed: new Map(),
    groups: [],
    groupWasLast: false,
    inFlight: undefined,
    owesAnswer: false,
  };
}

export function newKnown(): Known {
  return { accepted: undefined, resource: undefined, uses: [], doubtful: [], doubt: undefined, foreign: false, rejected: undefined };
}

export function isSubscribed(t: TypeState, name: string): boolean {
  return t.wildcard || t.names.has(name);
}

/** Whether the client has, or may have, the resource in some version. */
export function isPresent(known: Known | undefined): known is Known {
  return known !== undefined && (known.accepted !== undefined || known.doubt !== undefined);
}

/** What /debug/xds shows of a type. */
export interface TypeDebug {
  readonly wildcard: boolean;
  readonly subscribed: readonly string[];
  readonly acknowledged: Readonly<Record<string, string>>;
  readonly rejected: Readonly<Record<string, { readonly version: string; readonly message: string }>>;
  /** Held resources with the clusters that they wait for. */
  readonly held: Readonly<Record<string, readonly string[]>>;
  /** Removals that wait for the last user. */
  readonly waitingForRemoval: readonly string[];
  readonly inFlight?: { readonly nonce: string; readonly put: readonly string[]; readonly remove: readonly string[] };
  readonly pending: readonly string[];
}

export function debugStream(state: StreamState): Record<string, TypeDebug> {
  return Object.fromEntries(
    [...state.types.values()].map((t) => {
      const known = [...t.known];
      const debug: TypeDebug = {
        wildcard: t.wildcard,
        subscribed: [...t.names],
        acknowledged: Object.fromEntries(known.flatMap(([name, k]) => (k.accepted === undefined ? [] : [[name, k.accepted]]))),
        rejected: Object.fromEntries(known.flatMap(([name, k]) => (k.rejected ? [[name, k.rejected]] : []))),
        held: Object.fromEntries([...t.held.values()].map((h) => [h.name, h.clusters])),
        waitingForRemoval: [...t.doomed.keys()],
        ...(t.inFlight && {
          inFlight: { nonce: t.inFlight.nonce, put: t.inFlight.put.map((r) => r.name), remove: [...t.inFlight.remove] },
        }),
        pending: [...t.pending],
      };
      return [t.type, debug];
    }),
  );
}
