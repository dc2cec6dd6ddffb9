/** What tests of a waypoint have in common: connections as ztunnel makes them, and the objects of a waypoint `gw` and its Services. */
import { type IncomingHttpHeaders, request } from 'node:http';
import { type Socket, connect } from 'node:net';
import { type ProxyHeader, proxyHeader } from '../mesh/proxy-header.ts';

/** Where a connection wants to go, and whose it is. */
export interface Destination {
  readonly address?: string;
  readonly port?: number;
  /** SPIFFE identity. */
  readonly principal?: string | undefined;
}

export interface Request extends Destination {
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WaypointClient {
  /** Opens a connection as ztunnel does; from 10.1.2.3 or fd00::99. */
  readonly dial: (to: Destination) => Promise<Socket>;
  readonly get: (path: string, request?: Request) => Promise<{ status: number; headers: IncomingHttpHeaders; body: string }>;
  close(): void;
}

/** A client of the waypoint behind a port of 127.0.0.1. `address` is where connections go that do not say it. */
export function waypointClient(proxyPort: () => number, address: string): WaypointClient {
  const opened = new Set<Socket>();
  const dial: WaypointClient['dial'] = (to) =>
    new Promise((resolve, reject) => {
      const destination = { address: to.address ?? address, port: to.port ?? 80 };
      const socket = connect(proxyPort(), '127.0.0.1');
      opened.add(socket);
      // Stays: a connection that a policy ends may be reset when nobody waits for it any more.
      socket.on('error', reject);
      socket.once('connect', () => {
        const source = { address: destination.address.includes(':') ? 'fd00::99' : '10.1.2.3', port: 40_000 };
        const header: ProxyHeader = { source, destination, ...(to.principal !== undefined && { principal: to.principal }) };
        socket.write(proxyHeader(header));
        resolve(socket);
      });
    });
  return {
    dial,
    get: async (path, { host = 'echo', headers = {}, ...to } = {}) => {
      const socket = await dial(to);
      return new Promise((resolve, reject) => {
        const r = request(
          { createConnection: () => socket, path, setHost: false, headers: { host, connection: 'close', ...headers } },
          (response) => {
            let body = '';
            response.setEncoding('utf8').on('data', (text: string) => (body += text));
            response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
          },
        );
        r.on('error', reject);
        r.end();
      });
    },
    close: () => {
      for (const socket of opened) socket.destroy();
    },
  };
}

/** The waypoint `gw` and its class. */
export const waypointGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: kgateway-waypoint, annotations: { ambient.istio.io/waypoint-inbound-binding: PROXY/15088 } }
spec: { controllerName: kgateway.dev/kgateway }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  gatewayClassName: kgateway-waypoint
  listeners: [{ name: proxy, protocol: istio.io/PROXY, port: 15088 }]
`;

/** A Service behind `gw` and its EndpointSlice on 127.0.0.1; ports in YAML's flow style. */
export function waypointService(name: string, ips: readonly string[], ports: string, backendPorts: string): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, labels: { istio.io/use-waypoint: gw } }
spec: { clusterIP: '${ips[0]}', clusterIPs: [${ips.map((ip) => `'${ip}'`).join(', ')}], ports: [${ports}] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-1, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [${backendPorts}]
endpoints: [{ addresses: [127.0.0.1], conditions: { ready: true } }]
`;
}
