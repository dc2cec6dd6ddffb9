/** The part of the ztunnel double that runs in the network namespace of a Pod; its parent tells it what to do. */
import { execFileSync } from 'node:child_process';
import { type ClientHttp2Session, type Http2SecureServer, type ServerHttp2Stream, constants } from 'node:http2';
import { type Server, type Socket, connect, createServer, isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { addAddress, addRoute } from './dual-stack.ts';
import { type Arrival, type MeshTls, hboneServer, openHbone, openTunnel } from './hbone.ts';
import { proxyHeader } from './proxy-header.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** A waypoint, and the identities that its certificate may show. */
export interface Via extends Place {
  readonly identities: readonly string[];
}

/** A Service port that is reached through a waypoint; without one that takes connections it is not reached. */
export interface Capture extends Place {
  readonly via: readonly Via[];
}

interface Captured {
  /** The Pod's. */
  readonly address: string;
  /** A second one, which it gets. */
  readonly six?: string;
  readonly tls: MeshTls;
}

export type Duty =
  /** What comes in goes to this port on loopback, with a PROXY header. */
  | (Captured & { readonly role: 'waypoint'; readonly proxyPort: number })
  /** A workload: what it sends to Services with a waypoint goes there, and it takes HBONE for itself. */
  | (Captured & { readonly role: 'workload'; readonly captures: readonly Capture[] });

const hbonePort = 15_008;
const table = 'ztunnel_double';

/** By `address:port` of the Service. */
const captured = new Map<string, { readonly server: Server; readonly port: number; capture: Capture }>();
/** By address of the waypoint. */
const sessions = new Map<string, Promise<ClientHttp2Session>>();
/** By address of the Pod. */
const inbound = new Map<string, Http2SecureServer>();
let duty: Duty | undefined;
let next = 0;

const textOf = ({ address, port }: Place): string => (isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`);

/** Both directions, each until its end. */
function join(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      if (!from.readableEnded) to.destroy();
    });
  }
}

function listen(server: Server | Http2SecureServer, place: Place): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.port, place.address, () => resolve((server.address() as { port: number }).port));
  });
}

/** A connection to a waypoint that is in use as long as it takes new tunnels. */
function sessionTo(via: Via): Promise<ClientHttp2Session> {
  const key = textOf(via);
  const known = sessions.get(key);
  if (known) return known;
  const opened = openHbone({ host: via.address, port: via.port }, duty?.tls ?? {}, via.identities);
  sessions.set(key, opened);
  const forget = (): void => {
    if (sessions.get(key) === opened) sessions.delete(key);
  };
  opened.then((session) => session.once('goaway', forget).once('close', forget), forget);
  return opened;
}

async function capture(c: Capture): Promise<void> {
  const key = textOf(c);
  const known = captured.get(key);
  if (known) {
    known.capture = c;
    return;
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => {});
    const via = captured.get(key)?.capture.via ?? [];
    const to = via[next++ % via.length];
    if (!to) return void client.destroy();
    void (async () => {
      const session = await sessionTo(to);
      join(client, await openTunnel(session, key, { baggage: 'service.name=ztunnel-double' }));
    })().catch((error: unknown) => {
      console.error(`to ${key} through ${to.address}: ${String(error)}`);
      client.resetAndDestroy();
    });
  });
  const loopback = isIPv6(c.address) ? '::1' : '127.0.0.1';
  if (isIPv6(c.address)) addRoute(c.address);
  captured.set(key, { server, port: await listen(server, { address: loopback, port: 0 }), capture: c });
}

/** Replaces the rules in one transaction. */
function redirect(): void {
  const all = [...captured.values()];
  const tables = ['ip', 'ip6'].flatMap((family) => {
    const ofFamily = all.filter((c) => isIPv6(c.capture.address) === (family === 'ip6'));
    const rules = ofFamily.map((c) => `${family} daddr ${c.capture.address} tcp dport ${c.capture.port} redirect to :${c.port}`);
    return [
      `table ${family} ${table}`,
      `delete table ${family} ${table}`,
      `table ${family} ${table} {`,
      'chain output {',
      'type nat hook output priority -100;',
      ...rules,
      '}',
      '}',
    ];
  });
  execFileSync('nft', ['-f', '-'], { input: `${tables.join('\n')}\n` });
}

/** What ztunnel does with a tunnel that comes in. */
function accept(stream: ServerHttp2Stream, arrival: Arrival): void {
  const at = arrival.authority.lastIndexOf(':');
  const asked = { address: arrival.authority.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(arrival.authority.slice(at + 1)) };
  const proxyPort = duty?.role === 'waypoint' ? duty.proxyPort : undefined;
  const isWaypoint = proxyPort !== undefined;
  const isOwn = asked.address === duty?.address || asked.address === duty?.six;
  if (!isWaypoint && !isOwn) return stream.respond({ ':status': 400 }, { endStream: true });
  // Loopback of the family of the address that was dialled.
  const to = isWaypoint ? { address: isIPv6(arrival.remote.address) ? '::1' : '127.0.0.1', port: proxyPort } : asked;
  const up: Socket = connect({ host: to.address, port: to.port, allowHalfOpen: true }, () => {
    if (isWaypoint) up.write(proxyHeader({ source: arrival.remote, destination: asked, principal: arrival.peer }));
    stream.respond({ ':status': 200 });
    join(stream, up);
  });
  up.once('error', () => {
    if (stream.headersSent) stream.close(constants.NGHTTP2_CONNECT_ERROR);
    else if (!stream.destroyed) stream.respond({ ':status': 503 }, { endStream: true });
  });
}

async function perform(now: Duty): Promise<void> {
  duty = now;
  for (const address of [now.address, ...(now.six === undefined ? [] : [now.six])]) {
    const known = inbound.get(address);
    known?.setSecureContext(now.tls);
    if (known) continue;
    if (address === now.six) addAddress(address);
    const server = hboneServer(now.tls, accept);
    await listen(server, { address, port: hbonePort });
    inbound.set(address, server);
  }
  process.send?.('listening');
  const captures = now.role === 'waypoint' ? [] : now.captures;
  const wanted = new Set(captures.map(textOf));
  for (const c of captures) await capture(c);
  for (const [key, { server }] of captured) {
    if (wanted.has(key)) continue;
    server.close();
    captured.delete(key);
  }
  const waypoints = new Set(captures.flatMap((c) => c.via.map(textOf)));
  for (const [key, session] of sessions) {
    if (waypoints.has(key)) continue;
    sessions.delete(key);
    session.then(
      (s) => s.close(),
      () => {},
    );
  }
  redirect();
}

let last = Promise.resolve();
process.on('message', (now: Duty) => {
  last = last.then(() => perform(now)).catch((error: unknown) => console.error(error));
});
process.on('disconnect', () => process.exit(0));
