/**
 * An endpoint picker of the Gateway API Inference Extension, for tests: an external processor over gRPC that does what the request says.
 *
 *   test-epp-endpoint-selection: 10.0.0.1:8000,...   answers with these endpoints, in this order
 *   test-epp-answer: hang | shed | silent            never answers; 429; lets the request go without an endpoint
 *
 * Full-duplex: it answers when it has seen the whole body, and gives every byte back. It tells the client who served in a header of the response.
 */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  type ExtProcProcessingRequest as ProcessingRequest,
  type ExtProcProcessingResponse as ProcessingResponse,
  type HttpHeaders,
  HeaderValueOption_HeaderAppendAction as Append,
  decode,
  encode,
} from '../../src/xds/proto/index.ts';

/** Where the proxy is to send a request, in a header and in metadata `envoy.lb`. */
export const destinationHeader = 'x-gateway-destination-endpoint';
/** The header of a response in which this picker says who the proxy told it has served. */
export const servedHeader = 'x-conformance-test-served-endpoint';
export const selectionHeader = 'test-epp-endpoint-selection';

/** What the picker saw of one request. */
export interface Picked {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly served?: string;
}

export interface Picker {
  readonly port: number;
  /** Requests so far, oldest first. */
  readonly seen: readonly Picked[];
  close(): Promise<void>;
}

export interface PickerOptions {
  readonly port?: number;
  /** PEM; without it the picker speaks plain text. */
  readonly tls?: { readonly certificate: Buffer; readonly privateKey: Buffer };
  /** What to answer when the request asks for nothing. */
  readonly byDefault?: string;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

/** Starts a picker on 127.0.0.1. */
export async function startPicker({ port = 0, tls, byDefault }: PickerOptions = {}): Promise<Picker> {
  const seen: Picked[] = [];
  const server = new Server();
  const identity = (bytes: Buffer): Buffer => bytes;
  const method = {
    path: '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  } as const;
  server.addService({ Process: method }, { Process: (call: Call) => serve(call, byDefault, (picked) => seen.push(picked) - 1, seen) });
  const credentials = tls
    ? ServerCredentials.createSsl(null, [{ cert_chain: tls.certificate, private_key: tls.privateKey }])
    : ServerCredentials.createInsecure();
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, at) => (error ? reject(error) : resolve(at)));
  });
  return {
    port: bound,
    seen,
    close: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

/** One request: the stream lives until its response has ended. */
function serve(call: Call, byDefault: string | undefined, note: (picked: Picked) => number, seen: Picked[]): void {
  let headers: Readonly<Record<string, string>> = {};
  const chunks: Buffer[] = [];
  let index = 0;
  const send = (message: ProcessingResponse): void => {
    call.write(Buffer.from(encode('envoy.service.ext_proc.v3.ProcessingResponse', message)));
  };
  const pick = (): void => {
    const body = Buffer.concat(chunks);
    index = note({ headers, body: body.toString() });
    const answer = headers['test-epp-answer'];
    if (answer === 'hang') return;
    if (answer === 'shed') return send({ immediate_response: { status: { code: 429 }, body: Buffer.from('shed') } });
    const endpoints = answer === 'silent' ? undefined : (headers[selectionHeader] ?? byDefault);
    if (endpoints === undefined && answer !== 'silent')
      return send({ immediate_response: { status: { code: 503 }, body: Buffer.from('no endpoint') } });
    send({
      request_headers: { response: headerChange(destinationHeader, endpoints) },
      ...(endpoints !== undefined && { dynamic_metadata: metadata(endpoints) }),
    });
    if (chunks.length > 0) send({ request_body: { response: { body_mutation: { streamed_response: { body, end_of_stream: true } } } } });
  };
  call.on('data', (bytes: Buffer) => {
    const message = decode('envoy.service.ext_proc.v3.ProcessingRequest', bytes);
    if (message.request_headers) {
      headers = headersOf(message.request_headers);
      if (message.request_headers.end_of_stream) pick();
    } else if (message.request_body) {
      chunks.push(Buffer.from(message.request_body.body ?? []));
      if (message.request_body.end_of_stream) pick();
    } else if (message.request_trailers) {
      send({ request_trailers: {} });
    } else if (message.response_headers) {
      const served = servedBy(message);
      const picked = seen[index];
      if (picked && served !== undefined) seen[index] = { ...picked, served };
      send({ response_headers: { response: headerChange(servedHeader, served) } });
    } else if (message.response_body) {
      const { body = new Uint8Array(), end_of_stream = false } = message.response_body;
      send({ response_body: { response: { body_mutation: { streamed_response: { body, end_of_stream } } } } });
    } else if (message.response_trailers) {
      send({ response_trailers: {} });
    }
  });
  call.on('end', () => call.end());
  call.on('error', () => {});
}

function headersOf({ headers }: HttpHeaders): Readonly<Record<string, string>> {
  const decoder = new TextDecoder();
  return Object.fromEntries(
    (headers?.headers ?? []).map((h) => [h.key ?? '', h.raw_value ? decoder.decode(h.raw_value) : (h.value ?? '')]),
  );
}

function headerChange(key: string, value: string | undefined) {
  if (value === undefined) return {};
  const header = { key, raw_value: new TextEncoder().encode(value) };
  return { header_mutation: { set_headers: [{ header, append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD }] } };
}

function metadata(endpoints: string): NonNullable<ProcessingResponse['dynamic_metadata']> {
  return { fields: { 'envoy.lb': { struct_value: { fields: { [destinationHeader]: { string_value: endpoints } } } } } };
}

function servedBy({ metadata_context }: ProcessingRequest): string | undefined {
  return metadata_context?.filter_metadata?.['envoy.lb']?.fields?.['x-gateway-destination-endpoint-served']?.string_value;
}
