/** What tests of a waypoint have in common: connections as ztunnel makes them, and the objects of a waypoint `gw` and its Services. */
import type { Socket } from 'node:net';
import { objectOf, sliceOf } from './backend.ts';
import { type HttpCall, type WaypointAnswer, type WaypointCall, dial, requestOver } from './waypoint-client.ts';

/** Where a connection wants to go, and whose it is. */
export type Destination = Partial<Pick<WaypointCall, 'address' | 'port' | 'principal'>>;

export interface WaypointClient {
  /** Opens a connection as ztunnel does. */
  readonly dial: (to: Destination) => Promise<Socket>;
  readonly get: (path: string, request?: Destination & Pick<HttpCall, 'host' | 'headers'>) => Promise<WaypointAnswer>;
  close(): void;
}

/** A client of the waypoint behind a port of 127.0.0.1. `address` is where connections go that do not say it. */
export function waypointClient(proxyPort: () => number, address: string): WaypointClient {
  const opened = new Set<Socket>();
  const open: WaypointClient['dial'] = async (to) => {
    const socket = await dial(proxyPort(), { address, ...to });
    opened.add(socket);
    return socket;
  };
  return {
    dial: open,
    get: async (path, call = {}) => requestOver(await open(call), path, call),
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

/** MeshConfig, where Istio keeps it; its text is YAML. */
export function meshConfigMap(text: string): string {
  return `---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: ${JSON.stringify(text)} }
`;
}

/** A provider of access logs, in YAML's flow style. */
export const fileAccessLog = (name: string, path: string, format: string): string =>
  `{ name: ${name}, envoyFileAccessLog: { path: '${path}', logFormat: { ${format} } } }`;

/** A Service behind `gw` and its EndpointSlice; ports, and an endpoint that is not 127.0.0.1, in YAML's flow style. */
export function waypointService(name: string, ips: readonly string[], ports: string, backendPorts: string, endpoint?: string): string {
  const spec = `clusterIP: '${ips[0]}', clusterIPs: [${ips.map((ip) => `'${ip}'`).join(', ')}], ports: [${ports}]`;
  return (
    objectOf('v1', 'Service', name, spec, 'labels: { istio.io/use-waypoint: gw }') +
    sliceOf(name, backendPorts, endpoint === undefined ? {} : { endpoint })
  );
}
