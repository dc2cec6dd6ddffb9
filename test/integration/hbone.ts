/** A waypoint that ends HBONE itself, and workloads behind ztunnel. */
import { writeFileSync } from 'node:fs';
import { type Http2Session, constants } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Identity, keepIdentity } from '../../src/cmd/identity/identity.ts';
import { type CaServer, type MeshCa, caServerName } from '../mesh/certificate-authority.ts';
import { type Arrival, type MeshTls, hboneServer } from '../mesh/hbone.ts';
import { eventually } from './local.ts';

/** The waypoint `gw` and its class. */
export const hboneWaypoint = (infrastructure = '{}'): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: kgateway-waypoint-hbone }
spec: { controllerName: kgateway.dev/kgateway }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: gw, labels: { istio.io/waypoint-for: service } }
spec:
  gatewayClassName: kgateway-waypoint-hbone
  infrastructure: ${infrastructure}
  listeners: [{ name: mesh, protocol: HBONE, port: 15008 }]
`;

/** A Pod behind ztunnel. */
export const hbonePod = (name: string, address: string, account: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, annotations: { ambient.istio.io/redirection: enabled } }
spec: { serviceAccountName: ${account}, containers: [{ name: app }] }
status: { phase: Running, podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: 'True' }] }
`;

/** Takes HBONE at the address of a Pod and passes it on to a port of this machine. Returns what stops it, its connections too. */
export async function hboneWorkload(
  address: string,
  tls: MeshTls,
  port: number,
  arrived: (arrival: Arrival) => void = () => {},
): Promise<() => void> {
  const server = hboneServer(tls, (stream, arrival) => {
    arrived(arrival);
    const up = connect(port, '127.0.0.1', () => {
      stream.respond({ ':status': 200 });
      stream.pipe(up).pipe(stream);
    });
    up.on('error', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  });
  const open = new Set<Http2Session>();
  server.on('session', (session) => open.add(session));
  await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(15_008, address, resolve));
  return () => {
    server.close();
    for (const session of open) session.destroy();
  };
}

/** Gets the waypoint `gw` its certificate, into the folder, and renews it. */
export async function startAgent(
  folder: string,
  ca: MeshCa,
  authority: CaServer,
  failed: (error: unknown) => void = () => {},
): Promise<Identity> {
  writeFileSync(join(folder, 'root-cert.pem'), ca.root);
  writeFileSync(join(folder, 'token'), 'ns/default/sa/gw');
  const agent = keepIdentity({
    authority: { address: authority.address, serverName: caServerName, clusterId: 'Kubernetes' },
    tokenFile: join(folder, 'token'),
    rootsFile: join(folder, 'root-cert.pem'),
    revokedFile: join(folder, 'ca-crl.pem'),
    folder,
    pollMs: 50,
    on: { issued: () => {}, failed },
  });
  await eventually('there is a certificate', () => agent.valid());
  return agent;
}
