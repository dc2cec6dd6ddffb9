/** Which protocol a port carries, as Istio finds it. */
import type { MeshProtocol } from '../ir/mesh.ts';
import { ownValue } from '../ir/own-value.ts';

const protocols: Readonly<Record<string, MeshProtocol>> = {
  http: 'http',
  http_proxy: 'http',
  http2: 'http2',
  grpc: 'grpc',
  'grpc-web': 'grpc-web',
  https: 'tls',
  tls: 'tls',
  tcp: 'tcp',
  mongo: 'tcp',
  redis: 'tcp',
  mysql: 'tcp',
};

/** Values of `appProtocol` that Kubernetes itself defines. */
const standardAppProtocols: Readonly<Record<string, MeshProtocol>> = {
  'kubernetes.io/h2c': 'http2',
  'kubernetes.io/ws': 'http',
  'kubernetes.io/wss': 'tls',
};

/** SMTP, DNS, MySQL and MongoDB: their servers speak first, so there is nothing to find out from the client's bytes. */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27_017]);

/** Of a port of a Service: by `appProtocol`, else by the name up to its first hyphen (`http-web`), else `auto`. Source: Istio, Protocol Selection. */
export function servicePortProtocol(port: { readonly port: number; readonly name?: string; readonly appProtocol?: string }): MeshProtocol {
  const name = port.appProtocol ?? port.name ?? '';
  const standard = ownValue(standardAppProtocols, port.appProtocol ?? '');
  if (standard) return standard;
  const lower = name.toLowerCase();
  const prefix = lower.startsWith('grpc-web') ? 'grpc-web' : (lower.split('-', 1)[0] ?? '');
  return known(prefix) ?? (serverFirstPorts.has(port.port) ? 'tcp' : 'auto');
}

/** Of a port of a ServiceEntry: what it says. */
export function serviceEntryPortProtocol(protocol: string | undefined): MeshProtocol {
  return known(protocol?.toLowerCase() ?? '') ?? 'auto';
}

function known(name: string): MeshProtocol | undefined {
  return ownValue(protocols, name);
}
