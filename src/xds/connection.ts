/**
 * One ADS call: carries bytes and timers between grpc-js and the state machine of stream.ts.
 *
 *     call --requests--> step --responses--> outbox --one at a time--> call
 */
import { status } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Place } from '../ir/backend.ts';
import { scopeOfRole } from './authentication.ts';
import type { Authenticate, Identity } from './authentication.ts';
import { decodeDeltaRequest, decodeStateRequest, encodeDeltaResponse, encodeStateResponse } from './discovery.ts';
import type { DeltaRequest, Response, StateRequest } from './discovery.ts';
import { placedView } from './placed.ts';
import { rejectionKey } from './resource.ts';
import type { ConnectedProxy, Rejection } from './resource.ts';
import type { ResourceStore } from './store.ts';
import { debugStream, newStream, step } from './stream.ts';
import type { Input, Output, StreamState, TypeDebug } from './stream.ts';

/** How long a route waits for its clusters, and a cluster lives on after its last use. */
const holdMs = 1000;

export type AdsCall = ServerDuplexStream<Buffer, Buffer>;

/** What happens on streams, for metrics. Durations are in milliseconds. */
export interface XdsEvents {
  connected(proxy: ConnectedProxy): void;
  disconnected(proxy: ConnectedProxy): void;
  /** A response was handed to the connection. */
  sent(push: {
    readonly type: string;
    readonly scope: string;
    readonly resources: number;
    readonly removed: number;
    readonly bytes: number;
  }): void;
  /** `durationMs`: from the hand-over until the acknowledgement. */
  acknowledged(ack: { readonly type: string; readonly scope: string; readonly durationMs: number }): void;
  refused(nack: { readonly type: string; readonly scope: string; readonly durationMs: number; readonly message: string }): void;
  /** A client was turned away. */
  denied(denial: { readonly code: string; readonly scope: string }): void;
}

/** The part of a pino logger that is used. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What a collection must offer to be written. */
interface Sink<T> {
  set(t: T): void;
  delete(key: string): void;
}

export interface ConnectionOptions {
  readonly store: ResourceStore;
  readonly ready: () => Promise<void>;
  readonly authenticate?: Authenticate;
  /** Where a proxy runs; without it, nowhere in particular. */
  readonly placeOf?: (identity: Identity | undefined) => Place;
  readonly proxies: Sink<ConnectedProxy>;
  readonly rejections: Sink<Rejection>;
  readonly on?: Partial<XdsEvents>;
  readonly log: Log;
}

/** What /debug/xds shows of a proxy. */
export interface ProxyDebug extends ConnectedProxy {
  readonly protocol: 'delta' | 'sotw';
  readonly peer: string;
  readonly connectedAt: string;
  readonly types: Readonly<Record<string, TypeDebug>>;
}

export interface Connection {
  /** undefined until the client is known and let in. */
  debug(): ProxyDebug | undefined;
  /** Ends the stream: the client is to come back, here or elsewhere. */
  end(): void;
}

let connections = 0;

/** Serves one call until it ends; `onEnd` is called once. */
export function serveConnection(call: AdsCall, protocol: StreamState['protocol'], o: ConnectionOptions, onEnd: () => void): Connection {
  const serial = ++connections;
  const connectedAt = new Date().toISOString();
  const state = newStream(protocol, `${connectedAt}-${serial}`);
  const timers = new Set<NodeJS.Timeout>();
  const sentAt = new Map<string, number>();
  const rejected = new Map<string, Rejection>();
  const outbox: Response[] = [];
  const early: Buffer[] = [];
  let phase: 'new' | 'opening' | 'open' | 'ended' = 'new';
  let proxy: ConnectedProxy | undefined;
  let watch: Disposable | undefined;
  let writing = false;
  let view = o.store.scope('');

  const cleanUp = (): void => {
    if (phase === 'ended') return;
    phase = 'ended';
    watch?.[Symbol.dispose]();
    for (const timer of timers) clearTimeout(timer);
    outbox.length = 0;
    for (const key of rejected.keys()) o.rejections.delete(key);
    if (proxy) {
      o.proxies.delete(proxy.id);
      o.on?.disconnected?.(proxy);
      o.log.info({ proxy: proxy.id, scope: proxy.scope }, 'proxy disconnected');
    }
    onEnd();
  };

  const fail = (code: keyof typeof status, message: string, scope = ''): void => {
    if (phase === 'ended') return;
    o.on?.denied?.({ code, scope });
    o.log.warn({ code, scope, peer: call.getPeer() }, `xDS stream ended: ${message}`);
    call.emit('error', { code: status[code], details: message });
    cleanUp();
  };

  /** Writes the next response when the connection has taken the one before: grpc-js itself would buffer without bound. */
  const write = (): void => {
    const response = writing ? undefined : outbox.shift();
    if (!response || phase !== 'open') return;
    writing = true;
    const bytes = protocol === 'delta' ? encodeDeltaResponse(response) : encodeStateResponse(response);
    const { type, resources, removed, nonce } = response;
    sentAt.set(nonce, performance.now());
    o.on?.sent?.({ type, scope: proxy?.scope ?? '', resources: resources.length, removed: removed.length, bytes: bytes.length });
    call.write(bytes, () => {
      writing = false;
      write();
    });
  };

  const sinceSent = (nonce: string): number => {
    const since = sentAt.get(nonce);
    sentAt.delete(nonce);
    return since === undefined ? 0 : performance.now() - since;
  };

  const perform = (output: Output, to: ConnectedProxy): void => {
    const { scope } = to;
    switch (output.kind) {
      case 'respond':
        outbox.push(output);
        break;
      case 'accepted':
        o.on?.acknowledged?.({ type: output.type, scope, durationMs: sinceSent(output.nonce) });
        break;
      case 'refused':
        o.on?.refused?.({ type: output.type, scope, durationMs: sinceSent(output.nonce), message: output.message });
        o.log.warn({ proxy: to.id, type: output.type, resources: output.names.length, reason: output.message }, 'proxy refused a response');
        break;
      case 'rejected': {
        const { type, name, version, message } = output;
        const rejection = { proxy: to.id, scope, type, name, version, message } as Rejection;
        rejected.set(rejectionKey(rejection), rejection);
        o.rejections.set(rejection);
        o.log.error({ proxy: to.id, type, name, version, reason: message }, 'proxy rejected a resource; it keeps the version before');
        break;
      }
      case 'cleared': {
        const key = rejectionKey({ proxy: to.id, type: output.type, name: output.name } as Rejection);
        if (rejected.delete(key)) o.rejections.delete(key);
        break;
      }
      case 'serving':
        proxy = { ...to, serving: true };
        o.proxies.set(proxy);
        break;
      case 'timer': {
        const timer = setTimeout(() => {
          timers.delete(timer);
          run({ kind: 'timeout', token: output.token });
        }, holdMs);
        timers.add(timer);
        break;
      }
    }
  };

  const run = (input: Input): void => {
    if (phase !== 'open') return;
    try {
      for (const output of step(state, input, view)) if (proxy) perform(output, proxy);
    } catch (error) {
      // A bug of ours: the client comes back with a fresh state and keeps serving meanwhile.
      o.log.error({ err: error, proxy: proxy?.id }, 'xDS stream failed');
      fail('INTERNAL', 'internal error; see the log of the controller', proxy?.scope);
    }
    write();
  };

  const open = async (first: Buffer): Promise<void> => {
    const { node } = decode(protocol, first).request;
    const scope = scopeOfRole(node?.metadata['role']);
    if (!node || scope === undefined) {
      fail(
        'INVALID_ARGUMENT',
        `node.metadata.role must be "kgateway-kube-gateway-api~<namespace>~<gateway>"; correct the proxy's bootstrap`,
      );
      return;
    }
    // Ownership is known only when the graph has settled, so both wait.
    await o.ready();
    let identity: Identity | undefined;
    if (o.authenticate) {
      const result = await o.authenticate(call.metadata.get('authorization')[0]?.toString(), scope);
      if (!result.ok) {
        fail(result.code, result.message, scope);
        return;
      }
      ({ identity } = result);
    }
    if (phase === 'ended') return;
    phase = 'open';
    proxy = { id: `${node.id}~${serial}`, nodeId: node.id, scope, serving: false };
    o.proxies.set(proxy);
    o.on?.connected?.(proxy);
    o.log.info({ proxy: proxy.id, scope, protocol, peer: call.getPeer() }, 'proxy connected');
    view = placedView(o.store.scope(scope), o.placeOf?.(identity) ?? {});
    watch = o.store.watch(scope, (changes) => run({ kind: 'changed', changes }));
    for (const bytes of early.splice(0)) take(bytes);
    call.resume();
  };

  const take = (bytes: Buffer): void => {
    try {
      run(decode(protocol, bytes, true));
    } catch (error) {
      fail('INVALID_ARGUMENT', `not a discovery request: ${error instanceof Error ? error.message : String(error)}`, proxy?.scope);
    }
  };

  call.on('data', (bytes: Buffer) => {
    if (phase === 'open') {
      take(bytes);
      return;
    }
    early.push(bytes);
    if (phase !== 'new') return;
    phase = 'opening';
    call.pause();
    open(bytes).catch((error: unknown) => {
      fail('INVALID_ARGUMENT', `the stream could not be opened: ${error instanceof Error ? error.message : String(error)}`);
    });
  });
  call.on('end', () => {
    call.end();
    cleanUp();
  });
  for (const event of ['cancelled', 'close', 'error']) call.on(event, cleanUp);

  return {
    debug: () => proxy && { ...proxy, protocol, peer: call.getPeer(), connectedAt, types: debugStream(state) },
    end: () => {
      call.emit('error', { code: status.UNAVAILABLE, details: 'the controller is shutting down' });
      cleanUp();
    },
  };
}

type RequestInput = { readonly kind: 'delta'; readonly request: DeltaRequest } | { readonly kind: 'state'; readonly request: StateRequest };

/** Clients that repeat their node in every request are spared its decoding: the first one counts. */
function decode(protocol: StreamState['protocol'], bytes: Buffer, nodeKnown = false): RequestInput {
  return protocol === 'delta'
    ? { kind: 'delta', request: decodeDeltaRequest(bytes, nodeKnown) }
    : { kind: 'state', request: decodeStateRequest(bytes, nodeKnown) };
}
