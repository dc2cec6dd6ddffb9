// All that the objects of one proxy follow from, and what they have in common: name, labels, owner, ports.
import { createHash } from 'node:crypto';
import type { ObjectMeta } from '../kube/types/meta.ts';
import type { KubeParameters } from './gatewayparameters.ts';
import type { IdentityAgentSettings } from './identity-agent.ts';

/** A port that the proxy listens on and its Service offers. */
export interface ProxyPort {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

/** What the controller says about every proxy. */
export interface ProxySettings {
  /** Version of the controller, a label on what it makes. */
  readonly version: string;
  readonly xds: {
    readonly host: string;
    readonly port: number;
    /** PEM of the CA that signs the server's certificate. Absent: xDS without TLS. */
    readonly caCertificate?: string;
    /** Send the ServiceAccount token. */
    readonly auth: boolean;
  };
  readonly image: {
    readonly registry: string;
    readonly repository: string;
    readonly tag: string;
    readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  };
  /** Needed for waypoints that end HBONE. */
  readonly identity: IdentityAgentSettings;
  /** Bind the readiness and metrics ports on `::`, which takes IPv4 as well, instead of 0.0.0.0. */
  readonly bindIPv6: boolean;
}

/** All that the manifests of one proxy follow from. */
export interface ProxyDeployment {
  readonly gateway: { readonly namespace: string; readonly name: string; readonly uid: string; readonly className: string };
  /** A waypoint has an internal Service, takes part in the mesh and is reached on the HBONE port. */
  readonly role: 'ingress' | 'waypoint';
  /** Of a waypoint: it ends HBONE itself instead of ztunnel. */
  readonly hbone?: boolean;
  /** Ports of all listeners that are to be served; repeated ones count once. */
  readonly ports: readonly ProxyPort[];
  /** `spec.infrastructure.labels` and `.annotations` of the Gateway. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** `spec.addresses` of the Gateway with type IPAddress. */
  readonly addresses?: readonly string[];
  /** Merged by `mergeParameters`. */
  readonly parameters: KubeParameters;
  readonly settings: ProxySettings;
}

/** The full name of the Gateway, on Pods whose name had to be cut. */
export const fullNameAnnotation = 'gateway.kgateway.dev/gateway-full-name';

/**
 * The name of everything that belongs to the proxy of a Gateway, its ServiceAccount included. It is the Gateway's own name when that can name
 * a Service (RFC 1035: at most 63 characters, no dot, a letter in front); else 50 characters of it and 12 hex digits of its SHA-256.
 */
export function proxyName(gatewayName: string): string {
  const label = gatewayName.replaceAll('.', '-').replace(/^(?=[0-9])/, 'gw-');
  if (label === gatewayName && label.length <= 63) return gatewayName;
  return `${label.slice(0, 50)}-${createHash('sha256').update(gatewayName).digest('hex').slice(0, 12)}`;
}

/** What the Deployment and the Service select; it never changes for a Gateway. */
export function selectorOf(gatewayName: string): Readonly<Record<string, string>> {
  const name = proxyName(gatewayName);
  return { 'app.kubernetes.io/name': name, 'app.kubernetes.io/instance': name, 'gateway.networking.k8s.io/gateway-name': name };
}

/** Labels for the objects, or for the Pods. User labels never take the place of ours: selectors and owners depend on them. */
export function labelsOf(input: ProxyDeployment, extra?: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return {
    ...input.labels,
    ...extra,
    ...selectorOf(input.gateway.name),
    'app.kubernetes.io/component': 'proxy',
    'app.kubernetes.io/managed-by': 'kgateway',
    'gateway.networking.k8s.io/gateway-class-name': input.gateway.className,
    kgateway: 'kube-gateway',
  };
}

/** Metadata of one of the objects, owned by the Gateway so that it goes with it. */
export function metadataOf(
  input: ProxyDeployment,
  extra: { readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> } = {},
): ObjectMeta {
  const { namespace, name, uid } = input.gateway;
  const annotations = { ...input.annotations, ...extra.annotations };
  return {
    name: proxyName(name),
    namespace,
    labels: { ...labelsOf(input, extra.labels), 'app.kubernetes.io/version': input.settings.version },
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ownerReferences: [
      { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name, uid, controller: true, blockOwnerDeletion: true },
    ],
  };
}

/** Ports of the listeners, each once, in a stable order. */
export function listenerPorts(input: ProxyDeployment): readonly ProxyPort[] {
  const distinct = new Map(input.ports.map((p) => [`${p.port}/${p.protocol}`, p]));
  return [...distinct.values()].sort((a, b) => a.port - b.port || a.protocol.localeCompare(b.protocol));
}

/** The name of a listener's port on the Service: `listener-<port>`; UDP gets a suffix, since TCP may be on the same port. */
export function portName(p: ProxyPort): string {
  return p.protocol === 'TCP' ? `listener-${p.port}` : `listener-${p.port}-udp`;
}
