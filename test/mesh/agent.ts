/** The part of the ztunnel double that runs in the network namespace of a Pod; its parent tells it what to do. */
import { execFileSync } from 'node:child_process';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { proxyHeader } from './proxy-header.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** A Service port that is reached through a waypoint. */
export interface Capture extends Place {
  readonly via: readonly Place[];
}

export type Duty =
  | { readonly role: 'waypoint'; readonly address: string; readonly port: number }
  | { readonly role: 'client'; readonly address: string; readonly principal: string; readonly captures: readonly Capture[] };

const waypointListener: Place = { address: '127.0.0.1', port: 15_088 };
const table = 'ztunnel_double';

/** By `address:port` of the Service. */
const captured = new Map<string, { readonly server: Server; readonly port: number; capture: Capture }>();
let tunnel: Server | undefined;
let next = 0;

/** Both directions, each until its end. */
function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
  }
}

function listen(server: Server, place: Place): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.port, place.address, () => resolve((server.address() as { port: number }).port));
  });
}

async function capture(c: Capture, self: { readonly address: string; readonly principal: string }): Promise<void> {
  const key = `${c.address}:${c.port}`;
  const known = captured.get(key);
  if (known) {
    known.capture = c;
    return;
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const via = captured.get(key)?.capture.via ?? [];
    const to = via[next++ % via.length];
    if (!to) return void client.destroy();
    const source = { address: self.address, port: client.remotePort ?? 0 };
    const up = connect({ host: to.address, port: to.port, allowHalfOpen: true });
    up.write(proxyHeader({ source, destination: { address: c.address, port: c.port }, principal: self.principal }));
    join(client, up);
  });
  captured.set(key, { server, port: await listen(server, { address: '127.0.0.1', port: 0 }), capture: c });
}

/** Replaces the rules in one transaction. */
function redirect(): void {
  const rules = [...captured.values()].map((c) => `ip daddr ${c.capture.address} tcp dport ${c.capture.port} redirect to :${c.port}`);
  const lines = [
    `table ip ${table}`,
    `delete table ip ${table}`,
    `table ip ${table} {`,
    'chain output {',
    'type nat hook output priority -100;',
    ...rules,
    '}',
    '}',
  ];
  execFileSync('nft', ['-f', '-'], { input: `${lines.join('\n')}\n` });
}

async function perform(duty: Duty): Promise<void> {
  if (duty.role === 'waypoint') {
    if (tunnel) return;
    tunnel = createServer({ allowHalfOpen: true }, (socket) =>
      join(socket, connect({ host: waypointListener.address, port: waypointListener.port, allowHalfOpen: true })),
    );
    await listen(tunnel, duty);
    return;
  }
  const wanted = new Set(duty.captures.map((c) => `${c.address}:${c.port}`));
  for (const c of duty.captures) await capture(c, duty);
  for (const [key, { server }] of captured) {
    if (wanted.has(key)) continue;
    server.close();
    captured.delete(key);
  }
  redirect();
}

let last = Promise.resolve();
process.on('message', (duty: Duty) => {
  last = last.then(() => perform(duty)).catch((error: unknown) => console.error(error));
});
process.on('disconnect', () => process.exit(0));
