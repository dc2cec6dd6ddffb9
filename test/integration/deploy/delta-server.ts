// The least delta ADS server: it answers the first request of each type with no resources, and tells what it was asked.
import { createSecureServer, createServer } from 'node:http2';
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import protobuf from 'protobufjs';

const { root } = protobuf.parse(`syntax = "proto3";
message Request { string type_url = 2; string response_nonce = 6; }
message Response { string system_version_info = 1; string type_url = 4; string nonce = 5; }`);
const Request = root.lookupType('Request');
const Response = root.lookupType('Response');

export interface DeltaServer {
  readonly port: number;
  /** The `authorization` header of each stream so far. */
  readonly tokens: readonly string[];
  /** Answers from now on; before, requests are only read. */
  answer(): void;
  /** Ends the open streams, as a restart of the server would. */
  endStreams(): void;
  close(): Promise<void>;
}

/** Starts one on a free port. */
export async function deltaServer(tls?: { readonly key: Buffer; readonly cert: Buffer }, address = '127.0.0.1'): Promise<DeltaServer> {
  const server: Http2Server = tls ? createSecureServer(tls) : createServer();
  const tokens: string[] = [];
  const streams = new Set<ServerHttp2Stream>();
  const waiting: (() => void)[] = [];
  let answering = false;
  server.on('stream', (stream, headers) => {
    streams.add(stream);
    tokens.push(String(headers.authorization));
    stream.on('close', () => streams.delete(stream));
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '14' }));
    let buffered = Buffer.alloc(0);
    stream.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 5 && buffered.length >= 5 + buffered.readUInt32BE(1)) {
        const length = buffered.readUInt32BE(1);
        const request = Request.decode(buffered.subarray(5, 5 + length)) as unknown as {
          type_url?: string;
          typeUrl?: string;
          responseNonce?: string;
        };
        buffered = buffered.subarray(5 + length);
        if (request.responseNonce) continue;
        const send = () => stream.write(frame(request.typeUrl ?? ''));
        if (answering) send();
        else waiting.push(send);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    tokens,
    answer: () => {
      answering = true;
      for (const send of waiting.splice(0)) send();
    },
    endStreams: () => streams.forEach((s) => s.end()),
    close: () =>
      new Promise((resolve) => {
        streams.forEach((s) => s.close());
        server.close(() => resolve());
      }),
  };
}

function frame(typeUrl: string): Buffer {
  const body = Response.encode({ systemVersionInfo: '1', typeUrl, nonce: '1' }).finish();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}
