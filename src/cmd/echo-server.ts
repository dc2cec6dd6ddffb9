/** Small backends for trying things out: one answers every request with what arrived, as JSON; one sends datagrams back. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

/** A running backend. */
export interface Echo {
  close(): unknown;
}

/** Listens on `address:port`; resolves once it does. Rejects when the port is taken. */
export function startEcho(name: string, address: string, port: number): Promise<Echo> {
  const server = createServer((request, response) => {
    const body = JSON.stringify(
      { service: name, method: request.method, path: request.url, host: request.headers.host, headers: request.headers },
      null,
      2,
    );
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${body}\n`);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => resolve(server));
  });
}

/** The same for datagrams: each is sent back behind the name of the backend. */
export function startUdpEcho(name: string, address: string, port: number): Promise<Echo> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, from) => socket.send(Buffer.concat([Buffer.from(`${name}: `), message]), from.port, from.address));
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, address, () => resolve(socket));
  });
}
