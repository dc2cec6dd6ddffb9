/** Backends that answer with what arrived, and behave as the path says: `/delay/<ms>`, `/status/<code>`, `/flaky/<id>/<times>`. */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';

export interface Backend {
  readonly name: string;
  readonly port: number;
  /** Paths of the requests so far. */
  readonly seen: readonly string[];
  /** Hosts of the requests so far. */
  readonly hosts: readonly string[];
  close(): void;
}

export interface BackendOptions {
  /** HTTP/2 without TLS, and nothing else. */
  readonly h2c?: boolean;
  readonly port?: number;
  /** Where it listens; 127.0.0.1 unless given. */
  readonly address?: string;
}

/** Starts a backend on 127.0.0.1. */
export async function startBackend(name: string, { h2c = false, port = 0, address = '127.0.0.1' }: BackendOptions = {}): Promise<Backend> {
  const seen: string[] = [];
  const hosts: string[] = [];
  const failures = new Map<string, number>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url ?? '';
    const host = request.headers.host ?? String(request.headers[':authority'] ?? '');
    seen.push(path);
    hosts.push(host);
    const [, verb, argument = '', times = '0'] = path.split('?')[0]?.split('/') ?? [];
    request.resume();
    request.on('end', () => {
      const respond = (status: number): void => {
        const body = JSON.stringify({
          service: name,
          method: request.method,
          path,
          host,
          headers: request.headers,
          version: request.httpVersion,
        });
        response.writeHead(status, { 'content-type': 'application/json', 'x-out': 'backend', 'x-private': 'yes' }).end(body);
      };
      const failed = failures.get(argument) ?? 0;
      if (verb === 'flaky' && failed < Number(times)) {
        failures.set(argument, failed + 1);
        return respond(503);
      }
      if (verb === 'delay') return void setTimeout(() => respond(200), Number(argument));
      return respond(verb === 'status' ? Number(argument) : 200);
    });
  };
  const server = h2c ? (createHttp2Server(answer as never) as unknown as Server) : createServer(answer);
  // A connection that is closed when it was idle may have a request on its way.
  server.keepAliveTimeout = 0;
  // A WebSocket in what matters to a proxy: after the upgrade, bytes go both ways.
  server.on('upgrade', (request, socket) => {
    seen.push(request.url ?? '');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n');
    socket.on('error', () => {}).pipe(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, address, resolve);
  });
  return {
    name,
    port: (server.address() as AddressInfo).port,
    seen,
    hosts,
    close: () => {
      server.close();
      if (!h2c) server.closeAllConnections();
    },
  };
}

/** Any object with a spec; its fields, and those of the metadata behind the name, in YAML's flow style. */
export function objectOf(apiVersion: string, kind: string, name: string, spec: string, metadata = ''): string {
  return `---
apiVersion: ${apiVersion}
kind: ${kind}
metadata: { name: ${name}${metadata && `, ${metadata}`} }
spec: { ${spec} }
`;
}

/** API versions of the kinds that tests write most. */
export const api = {
  gateway: 'gateway.networking.k8s.io/v1',
  kgateway: 'gateway.kgateway.dev/v1alpha1',
  security: 'security.istio.io/v1',
} as const;

/** A TrafficPolicy of an HTTPRoute, called like it; its fields in YAML's flow style. */
export function policyOf(route: string, fields: string): string {
  const target = `{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: ${route} }`;
  return objectOf(api.kgateway, 'TrafficPolicy', route, `targetRefs: [${target}], ${fields}`);
}

export interface SliceFields {
  /** That of the Service unless given. */
  readonly name?: string;
  /** Its only endpoint: on 127.0.0.1 unless given. */
  readonly endpoint?: string;
  readonly addressType?: 'IPv4' | 'IPv6';
}

/** An EndpointSlice of a Service; ports in YAML's flow style. */
export function sliceOf(
  service: string,
  ports: string,
  { name = service, endpoint = 'addresses: [127.0.0.1]', addressType = 'IPv4' }: SliceFields = {},
): string {
  return `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, labels: { kubernetes.io/service-name: ${service} } }
addressType: ${addressType}
endpoints: [{ ${endpoint} }]
ports: [${ports}]
`;
}

/** Service and EndpointSlice of a backend. `portFields` are further fields of the port of the Service. */
export function serviceOf({ name, port }: Pick<Backend, 'name' | 'port'>, portFields = ''): string {
  return objectOf('v1', 'Service', name, `ports: [{ name: http, port: 80${portFields} }]`) + sliceOf(name, `{ name: http, port: ${port} }`);
}

/** GatewayClass and the Gateway `gw` with these listeners, each in YAML's flow style. */
export function gatewayOf(...listeners: readonly string[]): string {
  return `---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: kgateway }
spec: { controllerName: kgateway.dev/kgateway }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  gatewayClassName: kgateway
  listeners: [${listeners.join(', ')}]
`;
}

/** An HTTPRoute of `gw`; rules in YAML's flow style. */
export function routeOf(name: string, hostnames: readonly string[], rules: readonly string[], parent = '{ name: gw }'): string {
  const hosts = hostnames.length > 0 ? `\n  hostnames: [${hostnames.map((h) => `'${h}'`).join(', ')}]` : '';
  return `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name} }
spec:
  parentRefs: [${parent}]${hosts}
  rules:
${rules.map((rule) => `    - ${rule}\n`).join('')}`;
}

/** A rule: matches and filters in flow style, one backend. */
export function ruleOf(match: string, filters = '', backend = 'one'): string {
  return `{ matches: [${match}]${filters && `, filters: [${filters}]`}, backendRefs: [{ name: ${backend}, port: 80 }] }`;
}
