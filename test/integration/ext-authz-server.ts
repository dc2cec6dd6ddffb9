/** Servers of external authorization, over HTTP and gRPC, that do what the path of a request says: `/allowed...` may pass, `/slow` gets no answer. */
import { type Server, createServer } from 'node:http';
import { type IncomingHttpHeaders, type ServerHttp2Stream, createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type CheckRequest, decode, encode } from '../../src/xds/proto/index.ts';

/** A question as it came. */
export interface Question {
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  /** Of gRPC. */
  readonly check?: CheckRequest;
}

export interface AuthorizationServer {
  readonly port: number;
  readonly questions: Question[];
  close(): void;
}

function listen(server: Pick<Server, 'listen' | 'address'>): Promise<number> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}

/** Answers 200 with a header for the backend, or 401 with two headers for the client. */
export async function startHttpAuthorization(): Promise<AuthorizationServer> {
  const questions: Question[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      const path = request.url ?? '';
      questions.push({ path, headers: request.headers, body });
      if (path.includes('/slow')) return;
      if (path.includes('/allowed')) response.writeHead(200, { 'x-user': 'alice', 'x-hidden': 'no', 'x-kgateway-scope': 'elsewhere' });
      else response.writeHead(401, { 'x-why': 'nobody', 'x-secret': 'no' });
      response.end('no');
    });
  });
  const port = await listen(server);
  return {
    port,
    questions,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Over gRPC the same; a connection, which has no path, may pass from 10.1.2.3. */
export async function startGrpcAuthorization(): Promise<AuthorizationServer> {
  const questions: Question[] = [];
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const check = decode('envoy.service.auth.v3.CheckRequest', Buffer.concat(chunks).subarray(5));
      const http = check.attributes?.request?.http;
      const path = http?.path ?? '';
      questions.push({ path, headers: { ...http?.headers, authority: headers[':authority'] }, body: http?.body ?? '', check });
      if (path.includes('/slow')) return;
      const source = check.attributes?.source?.address?.socket_address?.address;
      const allowed = http?.method ? path.includes('/allowed') : source === '10.1.2.3';
      const option = (key: string, value: string) => ({ header: { key, value }, append: { value: false } });
      const message = encode('envoy.service.auth.v3.CheckResponse', {
        status: { code: allowed ? 0 : 7 },
        ...(allowed
          ? { ok_response: { headers: [option('x-user', 'bob'), option('x-kgateway-scope', 'elsewhere')] } }
          : { denied_response: { status: { code: 401 }, headers: [option('x-why', 'nobody')], body: 'no' } }),
      });
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.concat([head, message]));
    });
  });
  const port = await listen(server as unknown as Server);
  return { port, questions, close: () => void server.close() };
}
