/** HBONE as ztunnel speaks it: HTTP/2 CONNECT over TLS with certificates of the mesh on both sides. */
import {
  type ClientHttp2Session,
  type Http2SecureServer,
  type ServerHttp2Stream,
  connect,
  constants,
  createSecureServer,
} from 'node:http2';
import { isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { KeyPair } from './certificate-authority.ts';

export interface MeshTls extends KeyPair {
  /** The CAs of the mesh. */
  readonly ca: string;
}

export interface TunnelTarget {
  readonly host: string;
  readonly port: number;
}

export class TunnelRefused extends Error {
  readonly status: number;
  constructor(code: number) {
    super(`CONNECT was answered with ${code}`);
    this.status = code;
  }
}

/** Connects to a place that takes HBONE. Its identity has to be one of `identities`, if there are any. Rejects when TLS fails. */
export function openHbone(target: TunnelTarget, tls: Partial<MeshTls>, identities: readonly string[] = []): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = tlsConnect({
      ...target,
      ...tls,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      checkServerIdentity: (_host, { subjectaltname = '' }) => {
        const names = subjectaltname.split(', ').map((name) => name.replace(/^URI:/, ''));
        return identities.length === 0 || identities.some((i) => names.includes(i)) ? undefined : new Error(`peer is ${subjectaltname}`);
      },
    });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      const host = isIPv6(target.host) ? `[${target.host}]` : target.host;
      const session = connect(`https://${host}:${target.port}`, { createConnection: () => socket });
      // With TLS 1.3 the server judges our certificate after we are done: its settings are the first that shows it let us in.
      session.once('remoteSettings', () => resolve(session));
      session.once('close', () => reject(new Error('the connection was closed')));
      session.on('error', reject);
    });
  });
}

/** A tunnel to `authority`. Rejects with TunnelRefused when the answer is not 200. */
export function openTunnel(
  session: ClientHttp2Session,
  authority: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority, ...headers }, { endStream: false });
    stream.once('response', (answer) => {
      if (answer[':status'] === 200) return resolve(stream);
      stream.close(constants.NGHTTP2_CANCEL);
      reject(new TunnelRefused(Number(answer[':status'])));
    });
    // Stays: a tunnel that is ended from the other side may report it when nobody waits any more.
    stream.on('error', reject);
  });
}

export interface Arrival {
  /** What the CONNECT asked for. */
  readonly authority: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** URI of the client's certificate. */
  readonly peer: string;
  /** Where the connection came from. */
  readonly remote: { readonly address: string; readonly port: number };
}

/** Takes HBONE. `accept` answers the CONNECT and uses the stream. */
export function hboneServer(tls: MeshTls, accept: (stream: ServerHttp2Stream, arrival: Arrival) => void): Http2SecureServer {
  const server = createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] });
  server.on('stream', (stream, headers) => {
    const socket = stream.session?.socket as TLSSocket | undefined;
    stream.on('error', () => {});
    if (headers[':method'] !== 'CONNECT' || !socket) {
      stream.respond({ ':status': 405 }, { endStream: true });
      return;
    }
    const peer = (socket.getPeerCertificate().subjectaltname ?? '').replace(/^URI:/, '');
    const remote = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    accept(stream, { authority: String(headers[':authority']), headers, peer, remote });
  });
  server.on('sessionError', () => {});
  server.on('tlsClientError', () => {});
  return server;
}
