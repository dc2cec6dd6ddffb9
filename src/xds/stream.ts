/**
 * One ADS stream as a state machine, for delta and state-of-the-world alike. No clock, no I/O: what happens comes in as an input,
 * what is to be done goes out.
 *
 *     request | changed | timeout  --step-->  respond | accepted | refused | rejected | cleared | serving | timer
 *
 * Per type at most one response is under way; what changes meanwhile is merged into the next one. Order over types is in
 * make-before-break.ts. The cost of a step is the number of names that changed (state of the world: the size of the response).
 */
import type { DeltaRequest, Response, StateRequest } from './discovery.ts';
import {
  addUses,
  hold,
  mayRemove,
  noteRetry,
  release,
  retryRejected,
  settleRejected,
  settleUses,
  unhold,
  wakeDoomed,
  arm,
} from './make-before-break.ts';
import { TypeUrl } from './resource.ts';
import type { XdsResource } from './resource.ts';
import { distinctScopedRoute } from './scoped-route.ts';
import type { Changes, ScopeView } from './store.ts';
import { isFullState, isPresent, isSubscribed, isWildcardType, namesClusters, newKnown, newType, sendOrder } from './stream-state.ts';
import type { InFlight, StreamState, TypeState } from './stream-state.ts';

export { debugStream, newStream } from './stream-state.ts';
export type { StreamState, TypeDebug } from './stream-state.ts';

export type Input =
  | { readonly kind: 'delta'; readonly request: DeltaRequest }
  | { readonly kind: 'state'; readonly request: StateRequest }
  | { readonly kind: 'changed'; readonly changes: Changes }
  /** A second has passed since the timer was asked for. */
  | { readonly kind: 'timeout'; readonly token: number };

export type Output =
  | ({ readonly kind: 'respond' } & Response)
  | { readonly kind: 'accepted'; readonly type: string; readonly nonce: string }
  | { readonly kind: 'refused'; readonly type: string; readonly nonce: string; readonly names: readonly string[]; readonly message: string }
  /** One version of one resource is known to be bad. */
  | { readonly kind: 'rejected'; readonly type: string; readonly name: string; readonly version: string; readonly message: string }
  /** It is no longer. */
  | { readonly kind: 'cleared'; readonly type: string; readonly name: string }
  /** The client has listeners. */
  | { readonly kind: 'serving' }
  | { readonly kind: 'timer'; readonly token: number };

/** Takes one input; changes `state` and returns what is to be done, in order. */
export function step(state: StreamState, input: Input, store: ScopeView): Output[] {
  const out: Output[] = [];
  switch (input.kind) {
    case 'delta':
      takeDelta(state, input.request, store, out);
      break;
    case 'state':
      takeState(state, input.request, store, out);
      break;
    case 'changed':
      takeChanges(state, input.changes);
      break;
    case 'timeout':
      takeTimeout(state, input.token);
      break;
  }
  for (const type of sendOrder) {
    const t = state.types.get(type);
    if (t) send(state, t, store, out);
  }
  for (const t of state.types.values()) if (!sendOrder.includes(t.type)) send(state, t, store, out);
  if (state.armed !== undefined) {
    out.push({ kind: 'timer', token: state.armed });
    state.armed = undefined;
  }
  return out;
}

function takeDelta(state: StreamState, request: DeltaRequest, store: ScopeView, out: Output[]): void {
  const first = !state.types.has(request.type);
  const t = typeState(state, request.type);
  takeNonce(state, t, request.nonce, request.error, out);
  for (const name of request.unsubscribe) {
    if (name === '*') leaveWildcard(state, t, out);
    else if (t.names.delete(name)) unsubscribed(state, t, name, out);
  }
  for (const name of request.subscribe) {
    if (name === '*') enterWildcard(state, t, store);
    else subscribe(t, name);
  }
  if (first && request.subscribe.length === 0 && isWildcardType(request.type)) enterWildcard(state, t, store);
  if (first && request.initialVersions.size > 0) resume(state, t, request.initialVersions, store, out);
}

function takeState(state: StreamState, request: StateRequest, store: ScopeView, out: Output[]): void {
  const first = !state.types.has(request.type);
  const t = typeState(state, request.type);
  takeNonce(state, t, request.nonce, request.error, out);
  const wanted = new Set(request.names);
  // Empty lists mean "all" until names were asked for once.
  const all = wanted.delete('*') || (wanted.size === 0 && isWildcardType(t.type) && (first || (t.wildcard && t.names.size === 0)));
  for (const name of t.names) {
    if (wanted.has(name)) continue;
    t.names.delete(name);
    if (!all) unsubscribed(state, t, name, out);
  }
  if (all && !t.wildcard) enterWildcard(state, t, store);
  if (!all && t.wildcard) leaveWildcard(state, t, out, wanted);
  for (const name of wanted) if (!t.names.has(name)) subscribe(t, name);
}

function typeState(state: StreamState, type: string): TypeState {
  let t = state.types.get(type);
  if (!t) state.types.set(type, (t = newType(type)));
  return t;
}

function enterWildcard(state: StreamState, t: TypeState, store: ScopeView): void {
  if (t.wildcard) return;
  t.wildcard = true;
  t.owesAnswer = true;
  // A client that comes back may have scopes that it does not list: see distinctScopedRoute.
  const returns = t.type === TypeUrl.scopedRoute && state.returned;
  for (const name of store.names(t.type)) {
    t.pending.add(name);
    if (returns) knownOf(t, name).doubt = '';
  }
}

function leaveWildcard(state: StreamState, t: TypeState, out: Output[], keep: ReadonlySet<string> = t.names): void {
  if (!t.wildcard) return;
  t.wildcard = false;
  for (const name of t.known.keys()) if (!keep.has(name)) forget(state, t, name, out);
}

function subscribe(t: TypeState, name: string): void {
  t.names.add(name);
  t.pending.add(name);
  t.stale.add(name);
}

/** The client dropped a name. Where "all" still covers it, it must hear whether it exists; else it has already forgotten it. */
function unsubscribed(state: StreamState, t: TypeState, name: string, out: Output[]): void {
  if (t.wildcard) {
    t.pending.add(name);
    t.stale.add(name);
  } else {
    forget(state, t, name, out);
  }
}

/** After a reconnect: what the client still has is not sent again, and what is gone is removed. */
function resume(state: StreamState, t: TypeState, versions: ReadonlyMap<string, string>, store: ScopeView, out: Output[]): void {
  state.returned = true;
  t.owesAnswer = false;
  for (const [name, version] of versions) {
    if (!isSubscribed(t, name)) continue;
    const known = newKnown();
    known.accepted = version;
    t.known.set(name, known);
    // Endpoints are told again: the client may have lost the connection between a changed cluster and its endpoints, would list both as
    // known, and would warm that cluster for ever (see `respond`).
    if (t.type !== TypeUrl.endpoint) t.stale.delete(name);
    t.pending.add(name);
    const current = store.get(t.type, name);
    if (current?.version === version) {
      known.uses = current.clusters;
      addUses(state, current.clusters);
    } else if (namesClusters(t.type)) {
      known.foreign = true;
      // Maybe the last stream ended in the midst of a refusal: see distinctScopedRoute.
      if (t.type === TypeUrl.scopedRoute) known.doubt = '';
      state.foreign++;
    }
    if (t.type === TypeUrl.cluster || t.type === TypeUrl.endpoint) release(state, name);
  }
  if (t.type === TypeUrl.cluster) state.settling = arm(state);
  if (t.type === TypeUrl.listener) serve(state, out);
}

function takeNonce(state: StreamState, t: TypeState, nonce: string, error: string | undefined, out: Output[]): void {
  const sent = t.inFlight;
  if (!sent || nonce !== sent.nonce) return;
  t.inFlight = undefined;
  if (error === undefined) accept(state, t, sent, out);
  else refuse(state, t, sent, error, out);
}

function accept(state: StreamState, t: TypeState, sent: InFlight, out: Output[]): void {
  out.push({ kind: 'accepted', type: t.type, nonce: sent.nonce });
  for (const resource of sent.put) {
    if (!isSubscribed(t, resource.name)) continue;
    const known = knownOf(t, resource.name);
    known.accepted = resource.version;
    if (isFullState(state, t.type)) known.resource = resource;
    settleUses(state, known, resource.clusters);
    clearRejection(t, resource.name, out);
    if (t.type === TypeUrl.cluster) retryRejected(state, resource.name);
  }
  for (const name of sent.remove) removed(state, t, name, out);
  if (t.type === TypeUrl.cluster || t.type === TypeUrl.endpoint) for (const resource of sent.put) release(state, resource.name);
  if (t.type === TypeUrl.listener) serve(state, out);
}

function refuse(state: StreamState, t: TypeState, sent: InFlight, message: string, out: Output[]): void {
  const names = sent.put.map((r) => r.name);
  out.push({ kind: 'refused', type: t.type, nonce: sent.nonce, names: [...names, ...sent.remove], message });
  const [only] = sent.put;
  if (!only) {
    // Nothing but removals: asking again cannot end differently.
    for (const name of sent.remove) removed(state, t, name, out);
    return;
  }
  if (sent.put.length === 1 && sent.remove.size === 0) {
    reject(state, t, only, message, out);
    return;
  }
  for (const name of [...names, ...sent.remove]) if (isSubscribed(t, name)) t.stale.add(name);
  for (const { name, version } of sent.put) {
    if (!isSubscribed(t, name)) continue;
    const known = knownOf(t, name);
    known.doubt = known.doubt === undefined || known.doubt === version ? version : '';
  }
  for (const name of sent.remove) {
    const known = t.known.get(name);
    if (!known) continue;
    // Whether it was removed is in doubt as well; in any case it must not come back by being repeated.
    known.doubt = '';
    known.resource = undefined;
  }
  if (sent.remove.size > 0) t.groups.push([...sent.remove]);
  t.groups.push(...(sent.remove.size > 0 ? [names] : split(names, message)));
}

/** Cuts a refused response in two. The client's message often names the bad resources: the rest goes first, it is likely good. */
function split(names: readonly string[], message: string): string[][] {
  const blamed = names.filter((name) => message.includes(name));
  if (blamed.length > 0 && blamed.length < names.length) {
    const guilty = new Set(blamed);
    return [names.filter((name) => !guilty.has(name)), blamed];
  }
  const middle = Math.ceil(names.length / 2);
  return [names.slice(0, middle), names.slice(middle)];
}

function reject(state: StreamState, t: TypeState, resource: XdsResource, message: string, out: Output[]): void {
  if (!isSubscribed(t, resource.name)) return;
  const known = knownOf(t, resource.name);
  known.rejected = { version: resource.version, message };
  settleRejected(state, known, resource.version);
  noteRetry(state, t, resource);
  out.push({ kind: 'rejected', type: t.type, name: resource.name, version: resource.version, message });
  if (t.type === TypeUrl.cluster || t.type === TypeUrl.endpoint) release(state, resource.name);
}

/** The client has dropped the resource because we said so. */
function removed(state: StreamState, t: TypeState, name: string, out: Output[]): void {
  const [pending, stale] = [t.pending.has(name), t.stale.has(name)];
  forget(state, t, name, out);
  if (pending) t.pending.add(name);
  if (stale) t.stale.add(name);
}

/** The client has the resource no longer, or does not care: nothing is known of it, nothing counted for it. */
function forget(state: StreamState, t: TypeState, name: string, out: Output[]): void {
  clearRejection(t, name, out);
  const known = t.known.get(name);
  if (known) settleUses(state, known, []);
  t.known.delete(name);
  t.pending.delete(name);
  t.stale.delete(name);
  t.doomed.delete(name);
  unhold(state, t, name);
  if (t.type === TypeUrl.cluster) forgetEndpoints(state, name);
  if (t.type === TypeUrl.cluster || t.type === TypeUrl.endpoint) release(state, name);
}

/** A client's endpoints go with their cluster: should it come back they count anew, and their own removal waits no longer. */
function forgetEndpoints(state: StreamState, cluster: string): void {
  const eds = state.types.get(TypeUrl.endpoint);
  const endpoints = eds?.known.get(cluster);
  if (endpoints && isPresent(endpoints)) {
    endpoints.accepted = undefined;
    endpoints.doubt = '';
  }
  if (eds?.doomed.has(cluster)) eds.pending.add(cluster);
}

function serve(state: StreamState, out: Output[]): void {
  if (state.serving) return;
  state.serving = true;
  out.push({ kind: 'serving' });
}

function clearRejection(t: TypeState, name: string, out: Output[]): void {
  const known = t.known.get(name);
  if (!known?.rejected) return;
  known.rejected = undefined;
  out.push({ kind: 'cleared', type: t.type, name });
}

function knownOf(t: TypeState, name: string): ReturnType<typeof newKnown> {
  let known = t.known.get(name);
  if (!known) t.known.set(name, (known = newKnown()));
  return known;
}

function takeChanges(state: StreamState, changes: Changes): void {
  const eds = state.types.get(TypeUrl.endpoint);
  for (const [type, names] of changes) {
    const t = state.types.get(type);
    for (const name of names) {
      if (t && isSubscribed(t, name)) t.pending.add(name);
      if (type === TypeUrl.cluster || type === TypeUrl.endpoint) release(state, name);
      if (type === TypeUrl.cluster && eds?.doomed.has(name)) eds.pending.add(name);
    }
  }
}

function takeTimeout(state: StreamState, token: number): void {
  state.fired = Math.max(state.fired, token);
  for (const t of state.types.values()) for (const held of t.held.values()) if (held.token <= state.fired) t.pending.add(held.name);
  wakeDoomed(state);
}

/** Sends the next response of a type, if none is under way and there is something to say. */
function send(state: StreamState, t: TypeState, store: ScopeView, out: Output[]): void {
  while (!t.inFlight && (t.pending.size > 0 || t.groups.length > 0 || t.owesAnswer)) {
    const fromGroup = t.groups.length > 0 && (t.pending.size === 0 || !t.groupWasLast);
    const names = fromGroup ? (t.groups.shift() ?? []) : [...t.pending];
    t.groupWasLast = fromGroup;
    const put: XdsResource[] = [];
    const remove: string[] = [];
    for (const name of names) {
      if (!fromGroup) t.pending.delete(name);
      decide(state, t, name, store, put, remove, out);
    }
    if (put.length > 0 || remove.length > 0) respond(state, t, put, remove, out);
    else if (t.pending.size === 0 && t.groups.length === 0) {
      // Empty is an answer too: a client with no listeners at all must hear so. What is held will be the answer itself.
      if (t.owesAnswer && t.held.size === 0) respond(state, t, put, remove, out);
      else return;
    }
  }
}

/** Whether a resource goes into the response, as what, or why not. */
function decide(
  state: StreamState,
  t: TypeState,
  name: string,
  store: ScopeView,
  put: XdsResource[],
  remove: string[],
  out: Output[],
): void {
  if (!isSubscribed(t, name)) return;
  const known = t.known.get(name);
  const resource = store.get(t.type, name);
  const stale = t.stale.has(name);
  if (!resource) {
    unhold(state, t, name);
    clearRejection(t, name, out);
    if (!isPresent(known) && !stale) {
      forget(state, t, name, out);
      return;
    }
    if (isPresent(known) && !mayRemove(state, t, name, store)) return;
    remove.push(name);
    return;
  }
  t.doomed.delete(name);
  const has = known?.accepted === resource.version && known.doubt === undefined;
  if (!stale && (has || known?.rejected?.version === resource.version)) {
    if (has) clearRejection(t, name, out);
    if (has && known.foreign) settleUses(state, known, resource.clusters);
    unhold(state, t, name);
    return;
  }
  if (hold(state, t, resource, store)) return;
  const again = t.type === TypeUrl.scopedRoute && known?.doubt !== undefined;
  put.push(again ? distinctScopedRoute(resource, `${state.id}-${state.nonces}`) : resource);
}

function respond(state: StreamState, t: TypeState, put: readonly XdsResource[], remove: readonly string[], out: Output[]): void {
  const nonce = String(++state.nonces);
  t.inFlight = { nonce, put, remove: new Set(remove) };
  t.owesAnswer = false;
  const eds = t.type === TypeUrl.cluster ? state.types.get(TypeUrl.endpoint) : undefined;
  for (const { name, clusters } of put) {
    t.stale.delete(name);
    if (clusters.length > 0) {
      const known = knownOf(t, name);
      known.doubtful = [...known.doubtful, ...clusters];
      addUses(state, clusters);
    }
    // A changed cluster warms until it hears its endpoints again, even if they are the same (envoy#13009).
    if (eds && isSubscribed(eds, name)) {
      eds.stale.add(name);
      eds.pending.add(name);
    }
  }
  for (const name of remove) {
    t.stale.delete(name);
    t.doomed.delete(name);
  }
  const resources = isFullState(state, t.type) ? fullState(t, put, remove) : put;
  out.push({ kind: 'respond', type: t.type, nonce, resources, removed: state.protocol === 'delta' ? remove : [] });
}

/** State of the world: what the client has and keeps, and what is new. */
function fullState(t: TypeState, put: readonly XdsResource[], remove: readonly string[]): XdsResource[] {
  const changed = new Set([...put.map((r) => r.name), ...remove]);
  const kept: XdsResource[] = [];
  for (const [name, known] of t.known) if (known.resource && !changed.has(name)) kept.push(known.resource);
  return [...kept, ...put];
}
