/** A small backend for trying things out: answers every request with what arrived, as JSON. */
import { type Server, createServer } from 'node:http';

/** Listens on `address:port`; resolves once it does. Rejects when the port is taken. */
export function startEcho(name: string, address: string, port: number): Promise<Server> {
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
