/** Backends and clients of TCP, TLS and UDP. A backend says its name, then sends back what it gets. */
import { createSocket } from 'node:dgram';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { type PeerCertificate, type TLSSocket, connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { XdsCertificate } from '../../src/cmd/xds-certificate.ts';

export interface L4Backend {
  readonly name: string;
  readonly port: number;
  close(): void;
}

/** Starts a TCP backend on 127.0.0.1; with a certificate it speaks TLS. */
export async function startTcpBackend(name: string, certificate?: XdsCertificate, address = '127.0.0.1'): Promise<L4Backend> {
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.write(`${name}\n`);
    socket.pipe(socket);
  };
  const server: Server = certificate
    ? createTlsServer({ cert: certificate.certificate, key: certificate.privateKey }, serve)
    : createServer(serve);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, address, resolve);
  });
  return {
    name,
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Starts a TCP backend on 127.0.0.1 that says nothing of itself and sends back what it gets. */
export async function startEchoBackend(): Promise<Pick<L4Backend, 'port' | 'close'>> {
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

/** Starts a UDP backend on 127.0.0.1: answers each datagram with its name and the datagram. */
export async function startUdpBackend(name: string): Promise<L4Backend> {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => socket.send(`${name} ${message.toString()}`, from.port, from.address));
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', resolve);
  });
  return { name, port: socket.address().port, close: () => socket.close() };
}

/** A connection to a backend. */
export interface Conversation {
  /** What the backend called itself. */
  readonly name: string;
  readonly certificate?: PeerCertificate;
  /** Sends a line and waits for it to come back. */
  say(line: string): Promise<void>;
  close(): void;
}

/** Connects to a port of 127.0.0.1 and waits for the name of the backend; rejects when the connection is closed before. */
export function converse(port: number, servername?: string): Promise<Conversation> {
  return new Promise((resolve, reject) => {
    const socket = servername
      ? connectTls({ host: '127.0.0.1', port, servername, rejectUnauthorized: false })
      : connect({ host: '127.0.0.1', port });
    const lines: string[] = [];
    let text = '';
    let wake = (): void => {};
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error('closed'));
      wake();
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const parts = text.split('\n');
      text = parts.pop() ?? '';
      lines.push(...parts);
      if (lines.length > 0) resolve(conversation);
      wake();
    });
    const conversation: Conversation = {
      get name() {
        return lines[0] ?? '';
      },
      get certificate() {
        return (socket as TLSSocket).getPeerCertificate();
      },
      say: async (line) => {
        socket.write(`${line}\n`);
        while (!lines.includes(line)) {
          if (socket.destroyed) throw new Error('closed');
          await new Promise<void>((again) => (wake = again));
        }
      },
      close: () => socket.destroy(),
    };
  });
}

/** Name of the backend that a new connection reaches, or `closed`. */
export async function reached(port: number, servername?: string): Promise<string> {
  try {
    const conversation = await converse(port, servername);
    conversation.close();
    return conversation.name;
  } catch {
    return 'closed';
  }
}

/** Sends a datagram from a port of its own; the answer, or `nothing` within the time. */
export function ask(port: number, text: string, withinMs = 500): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const end = (answer: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => end('nothing'), withinMs);
    socket.on('message', (message) => end(message.toString()));
    socket.on('error', () => {});
    socket.send(text, port, '127.0.0.1');
  });
}
