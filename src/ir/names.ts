/**
 * Names that several parts must agree on. Clusters follow Istio's form, because istioctl reads it; the form that kgateway's
 * dashboards know goes into `alt_stat_name`.
 */

/**
 * `outbound|80||echo.demo.svc.cluster.local`: the cluster of one port of one Service, whoever routes to it. `variant` tells clusters of a port
 * apart that speak differently; it stands where Istio has the subset.
 */
export function serviceClusterName(namespace: string, name: string, port: number, variant = ''): string {
  return `outbound|${port}|${variant}|${serviceHost(namespace, name)}`;
}

/** `echo.demo.svc.cluster.local`: the name of a Service in the DNS of the cluster. */
export function serviceHost(namespace: string, name: string): string {
  return `${name}.${namespace}.svc.cluster.local`;
}

/** The parts of the name of a cluster of a Service or ServiceEntry; undefined for any other. */
export function partsOfCluster(name: string): { readonly port: number; readonly variant: string; readonly host: string } | undefined {
  const [direction, port, variant = '', host] = name.split('|');
  return direction === 'outbound' && host !== undefined ? { port: Number(port), variant, host } : undefined;
}

/** The name of a cluster beside another one, of the same backend; `variant` as of Services. */
export function clusterNameVariant(name: string, variant: string): string {
  const parts = partsOfCluster(name);
  return parts?.variant === '' ? `outbound|${parts.port}|${variant}|${parts.host}` : `${name}|${variant}`;
}

/** The Service's port that a cluster of that name leads to, over TCP; undefined for what goes over UDP, or not to a Service. */
export function tcpPortOfCluster(name: string): number | undefined {
  const parts = partsOfCluster(name);
  return parts?.variant === udpVariant ? undefined : parts?.port;
}

/** The variant of clusters of UDP ports: one number may be there twice. */
export const udpVariant = 'udp';

/** `outbound|443|demo|api.example.com`: a port of a host of a ServiceEntry. Namespaces may have different ones for one host. */
export function serviceEntryClusterName(namespace: string, host: string, port: number): string {
  return `outbound|${port}|${namespace}|${host}`;
}

/** `istio-se_demo_api.example.com_443`. */
export function serviceEntryStatName(namespace: string, host: string, port: number): string {
  return `istio-se_${namespace}_${host}_${port}`;
}

/** `kube_demo_echo_80`: the same cluster as kgateway's metrics name it. */
export function serviceStatName(namespace: string, name: string, port: number, variant = ''): string {
  return `kube_${namespace}_${name}_${port}${variant && `_${variant}`}`;
}

/** `backend|demo|api`: the cluster of a Backend; `variant` as of Services. */
export function backendClusterName(namespace: string, name: string, variant = ''): string {
  return `backend|${namespace}|${name}${variant && `|${variant}`}`;
}

/** `backend_demo_api_0`: the same cluster as kgateway's metrics name it. */
export function backendStatName(namespace: string, name: string, variant = ''): string {
  return `backend_${namespace}_${name}_0${variant && `_${variant}`}`;
}

/** Variants of the cluster of a Service that is an endpoint picker: it speaks gRPC and, most often, TLS that nobody can verify. */
export const endpointPickerVariants = { close: 'endpoint-picker', open: 'endpoint-picker-fail-open' } as const;

/** `inferencepool|demo|llama`: the Pods of an InferencePool. */
export function inferencePoolClusterName(namespace: string, name: string): string {
  return `inferencepool|${namespace}|${name}`;
}

/** `inferencepool_demo_llama`. */
export function inferencePoolStatName(namespace: string, name: string): string {
  return `inferencepool_${namespace}_${name}`;
}

/** A cluster that never exists: the weighted share of an invalid backend goes there and is answered with 500. */
export const invalidBackendCluster = 'invalid-backend';

/** Envoy's name of the listener of a port. */
export function listenerName(port: number, transport: 'tcp' | 'udp' = 'tcp'): string {
  return transport === 'udp' ? `listener~${port}~udp` : `listener~${port}`;
}

/** Header by which a proxy finds the scope of a request. Whatever a client sends in it is overwritten, and no backend sees it. */
export const scopeHeader = 'x-kgateway-scope';

/** The host under which everything that is not an exact host of a chain is kept. */
export const wildcardHost = '*';

/** Where the HTTPS listeners of a port tell which of them owns a host: the prefix of their chains, `https-443`. */
export function ownershipChain(port: number): string {
  return `https-${port}`;
}

/** The filter chain of an HTTPS listener: `https-443-name`. */
export function httpsChain(port: number, listener: string): string {
  return `${ownershipChain(port)}-${listener}`;
}

/** Name of the scope of a host behind a filter chain. Neither part contains a colon. */
export function hostScopeName(chain: string, host: string): string {
  return `${chain}:${host}`;
}

/** The chain of routes on a waypoint itself: they serve every Service behind it. */
export const waypointChain = 'waypoint';

/** The chain of one port of a service behind a waypoint; `service` is `Kind/namespace/host`. Contains slashes, as no chain of an ingress does. */
export function serviceChain(service: string, port: number): string {
  return `service/${service}/${port}`;
}

/** The host of the service that such a chain is of. */
export function hostOfServiceChain(chain: string): string | undefined {
  return chain.split('/')[3];
}

/** True for what serves at a waypoint, by the address that a connection asks for instead of by host. */
export function isWaypointChain(chain: string): boolean {
  return chain === waypointChain || chain.startsWith('service/');
}
