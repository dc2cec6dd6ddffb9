/**
 * Order over types: nothing is sent that names a cluster which the client does not have, and no cluster is taken away that something
 * at the client names.
 *
 *     route --clusters--> cluster (+ endpoints): held until each is acknowledged, or cannot be, or a second has passed
 *     cluster --uses--> routes at the client: its removal waits until the count is zero, and a grace for requests already routed
 *
 * Counts are kept as responses are sent and acknowledged: the cost of a change is the number of clusters that it names.
 */
import { TypeUrl } from './resource.ts';
import type { XdsResource } from './resource.ts';
import type { ScopeView } from './store.ts';
import { isPresent, isSubscribed } from './stream-state.ts';
import type { Held, Known, StreamState, TypeState } from './stream-state.ts';

/** Asks for a timer; all that begins to wait in one step shares it. */
export function arm(state: StreamState): number {
  return (state.armed ??= ++state.timers);
}

/** Whether a route may rely on the cluster: it is live at the client, or there is nothing to wait for. */
export function isReady(state: StreamState, cluster: string, store: ScopeView): boolean {
  const cds = state.types.get(TypeUrl.cluster);
  const wanted = store.get(TypeUrl.cluster, cluster);
  if (!wanted || !cds || !isSubscribed(cds, cluster)) return true;
  const known = cds.known.get(cluster);
  if (known?.accepted === undefined) return known?.rejected?.version === wanted.version;
  if (cds.inFlight?.remove.has(cluster)) return false;
  const endpoints = store.get(TypeUrl.endpoint, cluster);
  if (!endpoints) return true;
  const eds = state.types.get(TypeUrl.endpoint);
  if (eds?.inFlight?.remove.has(cluster)) return false;
  const knownEndpoints = eds?.known.get(cluster);
  return knownEndpoints?.accepted !== undefined || knownEndpoints?.rejected?.version === endpoints.version;
}

/** Whether the resource must wait; if so it is noted which clusters free it. A hold that is overdue is none. */
export function hold(state: StreamState, t: TypeState, resource: XdsResource, store: ScopeView): boolean {
  const before = t.held.get(resource.name);
  unhold(state, t, resource.name);
  if (resource.clusters.length === 0 || (before && before.token <= state.fired)) return false;
  const missing = resource.clusters.filter((c) => !isReady(state, c, store));
  if (missing.length === 0) return false;
  const held: Held = { of: t, name: resource.name, token: before?.token ?? arm(state), clusters: missing };
  t.held.set(resource.name, held);
  for (const cluster of missing) {
    let waiters = state.waiting.get(cluster);
    if (!waiters) state.waiting.set(cluster, (waiters = new Set()));
    waiters.add(held);
  }
  return true;
}

/** Ends the hold of a resource, if there is one. */
export function unhold(state: StreamState, t: TypeState, name: string): void {
  const held = t.held.get(name);
  if (!held) return;
  t.held.delete(name);
  for (const cluster of held.clusters) {
    const waiters = state.waiting.get(cluster);
    waiters?.delete(held);
    if (waiters?.size === 0) state.waiting.delete(cluster);
  }
}

/** Something happened to the cluster or its endpoints: who waits for it is looked at again. */
export function release(state: StreamState, cluster: string): void {
  for (const held of state.waiting.get(cluster) ?? []) held.of.pending.add(held.name);
}

/** Whether a resource that left the store may be removed at the client now. If not, it is noted as doomed. */
export function mayRemove(state: StreamState, t: TypeState, name: string, store: ScopeView): boolean {
  if (t.type === TypeUrl.endpoint) {
    // Endpoints go with their cluster: while its removal waits it still serves.
    const clusterWaits = isPresent(state.types.get(TypeUrl.cluster)?.known.get(name)) && !store.get(TypeUrl.cluster, name);
    if (clusterWaits) t.doomed.set(name, undefined);
    return !clusterWaits;
  }
  if (t.type !== TypeUrl.cluster) return true;
  if (state.uses.has(name) || state.foreign > 0 || state.settling > state.fired) {
    t.doomed.set(name, undefined);
    return false;
  }
  const grace = t.doomed.get(name) ?? arm(state);
  t.doomed.set(name, grace);
  return grace <= state.fired;
}

/** Counts clusters that a resource at the client names. */
export function addUses(state: StreamState, clusters: readonly string[]): void {
  const cds = state.types.get(TypeUrl.cluster);
  for (const cluster of clusters) {
    state.uses.set(cluster, (state.uses.get(cluster) ?? 0) + 1);
    if (cds?.doomed.has(cluster)) cds.doomed.set(cluster, undefined);
  }
}

function dropUses(state: StreamState, clusters: readonly string[]): void {
  const cds = state.types.get(TypeUrl.cluster);
  for (const cluster of clusters) {
    const count = (state.uses.get(cluster) ?? 0) - 1;
    if (count > 0) {
      state.uses.set(cluster, count);
    } else {
      state.uses.delete(cluster);
      if (cds?.doomed.has(cluster)) cds.pending.add(cluster);
    }
  }
}

/** Looks again at every cluster whose removal waits. */
export function wakeDoomed(state: StreamState): void {
  const cds = state.types.get(TypeUrl.cluster);
  for (const name of cds?.doomed.keys() ?? []) cds?.pending.add(name);
}

/** The client now has exactly the version that names `clusters`. */
export function settleUses(state: StreamState, known: Known, clusters: readonly string[]): void {
  addUses(state, clusters);
  dropUses(state, known.uses);
  dropUses(state, known.doubtful);
  known.uses = clusters;
  known.doubtful = [];
  known.doubt = undefined;
  clearForeign(state, known);
}

/** A version was refused on its own: the client keeps what it had, if we know what that is. */
export function settleRejected(state: StreamState, known: Known, version: string): void {
  if (known.doubt === version) known.doubt = undefined;
  if (known.doubt !== undefined) return;
  dropUses(state, known.doubtful);
  known.doubtful = [];
}

function clearForeign(state: StreamState, known: Known): void {
  if (!known.foreign) return;
  known.foreign = false;
  state.foreign--;
  if (state.foreign === 0) wakeDoomed(state);
}

/**
 * A resource was rejected. If it names clusters that the client does not have, that may be why (Envoy validates the clusters of inline
 * route configurations unless `validate_clusters` is false): it is tried again when one of them is there.
 */
export function noteRetry(state: StreamState, t: TypeState, resource: XdsResource): void {
  const cds = state.types.get(TypeUrl.cluster);
  for (const cluster of resource.clusters) {
    if (!cds || cds.known.get(cluster)?.accepted !== undefined) continue;
    let retries = state.retries.get(cluster);
    if (!retries) state.retries.set(cluster, (retries = new Map()));
    retries.set(`${t.type}|${resource.name}`, t);
  }
}

/** The client has the cluster: what was rejected for want of it is sent again. */
export function retryRejected(state: StreamState, cluster: string): void {
  for (const [key, t] of state.retries.get(cluster) ?? []) {
    const name = key.slice(t.type.length + 1);
    if (!t.known.get(name)?.rejected) continue;
    t.stale.add(name);
    t.pending.add(name);
  }
  state.retries.delete(cluster);
}
