/** Clients of a waypoint, as its ztunnel passes them on: connections with a PROXY header. */
import { type IncomingHttpHeaders, request } from 'node:http';
import { type Socket, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { proxyHeader } from '../mesh/proxy-header.ts';

/** Who asks for what. */
export interface Asked {
  readonly address: string;
  readonly port?: number;
  /** SPIFFE identity. */
  readonly principal?: string | undefined;
  /** 10.1.2.3 or fd00::99 unless given. */
  readonly source?: string;
}

/** Opens a connection. */
export function dial(
  proxy: number,
  { address, port = 80, principal, source = address.includes(':') ? 'fd00::99' : '10.1.2.3' }: Asked,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(proxy, '127.0.0.1');
    // Stays: a connection that a policy ends may be reset when nobody waits for it any more.
    socket.on('error', reject);
    socket.once('connect', () => {
      const header = { source: { address: source, port: 40_000 }, destination: { address, port } };
      socket.write(proxyHeader({ ...header, ...(principal !== undefined && { principal }) }));
      resolve(socket);
    });
  });
}

export interface HttpCall {
  readonly method?: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type WaypointCall = Asked & HttpCall;

export interface WaypointAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request, the only one on its connection. */
export function requestOver(connection: Duplex, path: string, call: HttpCall): Promise<WaypointAnswer> {
  const { method = 'GET', host = 'echo', headers = {}, body } = call;
  return new Promise((resolve, reject) => {
    const r = request(
      { createConnection: () => connection, method, path, setHost: false, headers: { host, connection: 'close', ...headers } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
      },
    );
    r.on('error', reject);
    r.end(body);
  });
}

/** One request on a connection of its own. */
export async function callWaypoint(proxy: number, path: string, call: WaypointCall): Promise<WaypointAnswer> {
  return requestOver(await dial(proxy, call), path, call);
}

/** What the other side says until it ends the connection, or the tunnel. RBAC decides on the first bytes or at their end, whichever there is. */
export function heard(connection: Duplex): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    connection.on('data', (data: Buffer) => (text += data.toString()));
    connection.on('error', () => {});
    connection.on('close', () => resolve(text));
    connection.end();
  });
}

/** Sends a line to a TCP Service; resolves with what comes back first, or undefined when the connection ends. */
export async function echoed(proxy: number, line: string, asked: Asked): Promise<string | undefined> {
  const socket = await dial(proxy, asked);
  return new Promise((resolve) => {
    socket.once('data', (data: Buffer) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.on('error', () => resolve(undefined));
    socket.once('close', () => resolve(undefined));
    socket.write(line);
  });
}
