// The objects that run the proxy of one Gateway.
//   [ProxyDeployment] -> proxyManifests -> ServiceAccount, ConfigMap, Service, Deployment, and on request HPA, PDB -> applier.ts
import type { ConfigMap, HorizontalPodAutoscaler, PodDisruptionBudget, Service, ServiceAccount, ServicePort } from '../kube/types/core.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { hbonePort } from '../ir/mesh-sender.ts';
import { bootstrapYaml, caSecret, envoyBootstrap, metricsPort, readinessPort, tokenSecret } from './bootstrap.ts';
import { drainBootstrap } from './drain.ts';
import { deepMerge } from './merge.ts';
import { configFolder, deploymentOf, drainSeconds, tokenFile, tokenFolder } from './pod.ts';
import { listenerPorts, metadataOf, portName, proxyName, selectorOf } from './proxy-deployment.ts';
import type { ProxyDeployment } from './proxy-deployment.ts';

/** The manifests of a proxy, in the order in which to apply them. Pure: the same input gives the same bytes. */
export function proxyManifests(input: ProxyDeployment): readonly KubeObject[] {
  const configMap = configMapOf(input);
  const service = serviceOf(input);
  const autoscaler = autoscalerOf(input);
  const budget = disruptionBudgetOf(input);
  return [
    serviceAccountOf(input),
    configMap,
    ...(service ? [service] : []),
    deploymentOf(input, configMap),
    ...(autoscaler ? [autoscaler] : []),
    ...(budget ? [budget] : []),
  ];
}

function serviceAccountOf(input: ProxyDeployment): ServiceAccount {
  const p = input.parameters.serviceAccount;
  const metadata = metadataOf(input, {
    ...(p?.extraLabels && { labels: p.extraLabels }),
    ...(p?.extraAnnotations && { annotations: p.extraAnnotations }),
  });
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false };
}

function configMapOf(input: ProxyDeployment): ConfigMap {
  const { settings, parameters } = input;
  const { caCertificate } = settings.xds;
  const start = parameters.envoyContainer?.bootstrap;
  const seconds = drainSeconds(parameters);
  const bootstrap = envoyBootstrap({
    gateway: input.gateway,
    xds: {
      host: settings.xds.host,
      port: settings.xds.port,
      ...(caCertificate !== undefined && { ca: { path: `${configFolder}/xds_ca.json`, watchedDirectory: configFolder } }),
      ...(settings.xds.auth && { token: { path: `${configFolder}/xds_service_account_token.json`, watchedDirectory: tokenFolder } }),
    },
    readiness: { port: readinessPort, acceptProxyProtocol: start?.enableReadinessProbeProxyProtocol === true },
    ...(parameters.stats?.enabled !== false && { metrics: { port: metricsPort }, istioMetrics: input.role === 'waypoint' }),
    bindAddress: settings.bindIPv6 ? '::' : '0.0.0.0',
    ...(start?.dnsResolver?.udpMaxQueries !== undefined && { dnsUdpMaxQueries: start.dnsResolver.udpMaxQueries }),
    ...(start?.logFormat && { logFormat: start.logFormat }),
  });
  const data: Record<string, string> = { 'envoy.yaml': bootstrapYaml(bootstrap) };
  if (seconds !== undefined) data['drain.yaml'] = bootstrapYaml(drainBootstrap(seconds));
  if (settings.xds.auth) data['xds_service_account_token.json'] = tokenSecret(tokenFile);
  if (caCertificate !== undefined) {
    data['xds_ca.json'] = caSecret(`${configFolder}/ca.crt`, settings.xds.host);
    data['ca.crt'] = caCertificate;
  }
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadataOf(input), data };
}

/** A Service needs a port: without one there is none yet, and one that is there stays. */
function serviceOf(input: ProxyDeployment): Service | undefined {
  const p = input.parameters.service ?? {};
  const ports = servicePorts(input);
  if (ports.length === 0) return undefined;
  const type = p.type ?? (input.role === 'waypoint' ? 'ClusterIP' : 'LoadBalancer');
  const balanced = type === 'LoadBalancer';
  const external = balanced || type === 'NodePort';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(input, {
      labels: { ...(input.role === 'waypoint' && meshServiceLabels), ...p.extraLabels },
      annotations: { ...(input.role === 'waypoint' && meshServiceAnnotations), ...p.extraAnnotations },
    }),
    spec: {
      type,
      selector: selectorOf(input.gateway.name),
      ports: ports.map((port) => withNodePort(port, external ? p.ports : undefined)),
      ...(p.clusterIP !== undefined && { clusterIP: p.clusterIP }),
      ...(external && p.externalTrafficPolicy !== undefined && { externalTrafficPolicy: p.externalTrafficPolicy }),
      ...(balanced && p.loadBalancerClass !== undefined && { loadBalancerClass: p.loadBalancerClass }),
      ...(balanced && p.loadBalancerSourceRanges && { loadBalancerSourceRanges: p.loadBalancerSourceRanges }),
      // Never externalIPs: whoever may write a Gateway could take over any address of the cluster with our rights (CVE-2020-8554).
      ...(balanced && input.addresses?.[0] !== undefined && { loadBalancerIP: input.addresses[0] }),
    },
  };
}

function withNodePort(
  port: ServicePort,
  wanted: readonly { readonly port: number; readonly nodePort?: number }[] | undefined,
): ServicePort {
  const nodePort = wanted?.find((w) => w.port === port.port)?.nodePort;
  return nodePort === undefined ? port : { ...port, nodePort };
}

/** The HBONE port of a waypoint: its ztunnel terminates it in the Pod's network namespace, or the proxy itself. */
// `istioctl analyze` knows no HBONE.
const meshPort: ServicePort = { name: 'tcp-hbone', port: hbonePort, targetPort: hbonePort, protocol: 'TCP' };

/** The listener of a waypoint is on loopback and no port of its Service: who could reach it could claim to be anybody. */
function servicePorts(input: ProxyDeployment): readonly ServicePort[] {
  if (input.role === 'waypoint') return [meshPort];
  return listenerPorts(input).map((p) => ({ name: portName(p), port: p.port, targetPort: p.port, protocol: p.protocol }));
}

/** A waypoint serves others: without this label its own Service, in a namespace that uses it, would be among them. */
const meshServiceLabels = { 'istio.io/use-waypoint': 'none' };
/** ztunnel chooses a waypoint near the client. */
const meshServiceAnnotations = { 'networking.istio.io/traffic-distribution': 'PreferClose' };

function autoscalerOf(input: ProxyDeployment): HorizontalPodAutoscaler | undefined {
  const p = input.parameters.horizontalPodAutoscaler;
  if (!p) return undefined;
  const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: proxyName(input.gateway.name) };
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: metadataOf(input, p.metadata),
    spec: { maxReplicas: 1, ...p.spec, scaleTargetRef: target },
  };
}

/** Without a waypoint its Services are reached without their policies, so a waypoint is never evicted whole; alone, it can be. */
const oneAtATime: NonNullable<ProxyDeployment['parameters']['podDisruptionBudget']> = { spec: { maxUnavailable: 1 } };

function disruptionBudgetOf(input: ProxyDeployment): PodDisruptionBudget | undefined {
  const p = input.parameters.podDisruptionBudget ?? (input.role === 'waypoint' ? oneAtATime : undefined);
  if (!p) return undefined;
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadataOf(input, p.metadata),
    spec: deepMerge(p.spec ?? {}, { selector: { matchLabels: selectorOf(input.gateway.name) } }),
  };
}
