/**
 * Names that several parts must agree on. Clusters follow Istio's form, because istioctl reads it; the form that kgateway's
 * dashboards know goes into `alt_stat_name`.
 */

/** `outbound|80||echo.demo.svc.cluster.local`: the cluster of one port of one Service, whoever routes to it. */
export function serviceClusterName(namespace: string, name: string, port: number, domain = 'cluster.local'): string {
  return `outbound|${port}||${name}.${namespace}.svc.${domain}`;
}

/** `kube_demo_echo_80`: the same cluster as kgateway's metrics name it. */
export function serviceStatName(namespace: string, name: string, port: number): string {
  return `kube_${namespace}_${name}_${port}`;
}

/** A cluster that never exists: the weighted share of an invalid backend goes there and is answered with 500. */
export const invalidBackendCluster = 'invalid-backend';

/** Envoy's name of the listener of a port. */
export function listenerName(port: number, transport: 'tcp' | 'udp' = 'tcp'): string {
  return transport === 'udp' ? `listener~${port}~udp` : `listener~${port}`;
}

/** The host under which everything that is not an exact host of a chain is kept. */
export const wildcardHost = '*';

/** Name of the scope of a host behind a filter chain. Neither part contains a colon. */
export function hostScopeName(chain: string, host: string): string {
  return `${chain}:${host}`;
}
