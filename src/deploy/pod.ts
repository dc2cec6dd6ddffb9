// The Deployment of a proxy: how Envoy runs in its Pod.
import { createHash } from 'node:crypto';
import type {
  ConfigMap,
  Container,
  ContainerPort,
  Deployment,
  EnvVar,
  PodSecurityContext,
  PodSpec,
  Probe,
  SecurityContext,
  Volume,
  VolumeMount,
} from '../kube/types/core.ts';
import { metricsPort, readinessPort } from './bootstrap.ts';
import type { KubeParameters } from './gatewayparameters.ts';
import { identityAgent, identityMount, identityVolumes } from './identity-agent.ts';
import { byName, deepMerge } from './merge.ts';
import { fullNameAnnotation, labelsOf, metadataOf, proxyName, selectorOf } from './proxy-deployment.ts';
import type { ProxyDeployment } from './proxy-deployment.ts';

/** Where the ConfigMap is mounted. */
export const configFolder = '/etc/envoy';
/** Where the kubelet keeps the ServiceAccount token for xDS fresh. */
export const tokenFolder = '/var/run/secrets/tokens';
export const tokenFile = `${tokenFolder}/xds-token`;
/** The audience of that token. */
export const tokenAudience = 'kgateway';
/** Hash of what Envoy reads only at its start; a change replaces the Pods. */
export const bootstrapHashAnnotation = 'gateway.kgateway.dev/bootstrap-hash';

const defaultDrainSeconds = 10;
const defaultGracePeriodSeconds = 60;

/** How long the proxy drains, in seconds, or undefined when it is not to. Leaves 5 s of the grace period for Envoy's end. */
export function drainSeconds(p: KubeParameters): number | undefined {
  const { gracefulShutdown: shutdown, terminationGracePeriodSeconds = defaultGracePeriodSeconds } = p.podTemplate ?? {};
  if (shutdown?.enabled === false) return undefined;
  const seconds = Math.min(shutdown?.sleepTimeSeconds ?? defaultDrainSeconds, terminationGracePeriodSeconds - 5);
  return seconds > 0 ? seconds : undefined;
}

/** While no waypoint is ready, Services are reached without their policies. */
const defaultReplicas: Readonly<Record<ProxyDeployment['role'], number | undefined>> = { ingress: undefined, waypoint: 2 };

/** The Deployment. It has no `replicas` when nobody gave a number or an autoscaler owns it. */
export function deploymentOf(input: ProxyDeployment, config: ConfigMap): Deployment {
  const { deployment, horizontalPodAutoscaler } = input.parameters;
  const replicas = horizontalPodAutoscaler
    ? undefined
    : deployment?.replicas === undefined
      ? defaultReplicas[input.role]
      : deployment.replicas;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(input),
    spec: {
      ...(replicas !== undefined && replicas !== null && { replicas }),
      ...(deployment?.strategy && { strategy: deployment.strategy }),
      selector: { matchLabels: selectorOf(input.gateway.name) },
      template: { metadata: podMetadata(input, config), spec: podSpec(input) },
    },
  };
}

function podMetadata(input: ProxyDeployment, config: ConfigMap) {
  const { gateway, parameters, role } = input;
  const scraped = { 'prometheus.io/scrape': 'true', 'prometheus.io/path': '/metrics', 'prometheus.io/port': String(metricsPort) };
  return {
    // No version label here: a new controller alone replaces no proxy.
    labels: labelsOf(input, {
      ...(role === 'waypoint' && { ...meshLabels(input), 'istio.io/use-waypoint': 'none' }),
      ...parameters.podTemplate?.extraLabels,
    }),
    annotations: {
      ...(parameters.stats?.enabled !== false && scraped),
      ...(role === 'waypoint' && !input.hbone && { 'ambient.istio.io/dns-capture': 'false' }),
      ...input.annotations,
      ...parameters.podTemplate?.extraAnnotations,
      ...(proxyName(gateway.name) !== gateway.name && { [fullNameAnnotation]: gateway.name }),
      [bootstrapHashAnnotation]: createHash('sha256')
        .update(config.data?.['envoy.yaml'] ?? '')
        .digest('hex')
        .slice(0, 16),
    },
  };
}

/** Of which side ztunnel is: it brings HBONE into the Pod, or clients' ztunnels are told that the Pod takes it. */
function meshLabels({ hbone }: ProxyDeployment): Readonly<Record<string, string>> {
  return hbone ? { 'istio.io/dataplane-mode': 'none', 'networking.istio.io/tunnel': 'http' } : { 'istio.io/dataplane-mode': 'ambient' };
}

function podSpec(input: ProxyDeployment): PodSpec {
  const p = input.parameters.podTemplate ?? {};
  const securityContext = podSecurity(input);
  const volumes = byName((v) => v.name, podVolumes(input), p.extraVolumes) ?? [];
  return {
    serviceAccountName: proxyName(input.gateway.name),
    automountServiceAccountToken: false,
    ...(securityContext && { securityContext }),
    ...(p.imagePullSecrets && { imagePullSecrets: p.imagePullSecrets }),
    ...(p.nodeSelector && { nodeSelector: p.nodeSelector }),
    ...(p.affinity && { affinity: p.affinity }),
    ...(p.tolerations && { tolerations: p.tolerations }),
    ...(p.topologySpreadConstraints && {
      topologySpreadConstraints: p.topologySpreadConstraints.map((c) => ({
        labelSelector: { matchLabels: selectorOf(input.gateway.name) },
        ...c,
      })),
    }),
    ...(p.priorityClassName !== undefined && { priorityClassName: p.priorityClassName }),
    terminationGracePeriodSeconds: p.terminationGracePeriodSeconds ?? defaultGracePeriodSeconds,
    ...(input.hbone && { initContainers: [identityAgent(input.settings.identity, input.parameters.sdsContainer, defaultSecurity(input))] }),
    containers: [envoyContainer(input)],
    volumes,
  };
}

function podVolumes(input: ProxyDeployment): readonly Volume[] {
  const token = { path: 'xds-token', audience: tokenAudience, expirationSeconds: 3600 };
  return [
    { name: 'envoy-config', configMap: { name: proxyName(input.gateway.name) } },
    ...(input.settings.xds.auth ? [{ name: 'xds-token', projected: { sources: [{ serviceAccountToken: token }] } }] : []),
    ...(input.hbone ? identityVolumes : []),
  ];
}

/** Any user may listen on low ports in this network namespace: no capability, no root. A sysctl that Kubernetes counts as safe. */
const lowPorts = { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' };

function podSecurity(input: ProxyDeployment): PodSecurityContext | undefined {
  const { omitDefaultSecurityContext, podTemplate } = input.parameters;
  const defaults: PodSecurityContext = omitDefaultSecurityContext
    ? {}
    : { seccompProfile: { type: 'RuntimeDefault' }, sysctls: [lowPorts] };
  const merged = deepMerge(defaults, podTemplate?.securityContext);
  return Object.keys(merged).length > 0 ? merged : undefined;
}

const containerSecurity: SecurityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  runAsUser: 10_101,
};

function defaultSecurity(input: ProxyDeployment): SecurityContext {
  return input.parameters.omitDefaultSecurityContext ? {} : containerSecurity;
}

function envoyContainer(input: ProxyDeployment): Container {
  const { envoyContainer: p = {}, podTemplate } = input.parameters;
  const securityContext = deepMerge<SecurityContext>(defaultSecurity(input), p.securityContext);
  const image = imageOf(input);
  return {
    name: 'kgateway-proxy',
    image: image.reference,
    imagePullPolicy: image.pullPolicy,
    // The program itself and not the image's entrypoint: no shell script runs first, and images without a shell do.
    command: ['envoy'],
    args: envoyArgs(input),
    env: byName((e) => e.name, environment, p.env) ?? [],
    ports: containerPorts(input),
    ...(p.resources && { resources: p.resources }),
    startupProbe: podTemplate?.startupProbe ?? startupProbe,
    readinessProbe: podTemplate?.readinessProbe ?? readinessProbe,
    ...(podTemplate?.livenessProbe && { livenessProbe: podTemplate.livenessProbe }),
    ...(drainSeconds(input.parameters) !== undefined && { lifecycle: { preStop: { exec: { command: drainCommand } } } }),
    ...(Object.keys(securityContext).length > 0 && { securityContext }),
    volumeMounts: byName((m) => m.mountPath, mounts(input), p.extraVolumeMounts) ?? [],
  };
}

/** One worker is enough for three requests. */
const drainCommand = ['envoy', '-c', `${configFolder}/drain.yaml`, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'error'];

function imageOf(input: ProxyDeployment): { readonly reference: string; readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never' } {
  const { image: base } = input.settings;
  const over = input.parameters.envoyContainer?.image ?? {};
  const registry = over.registry ?? base.registry;
  const path = `${registry ? `${registry}/` : ''}${over.repository ?? base.repository}`;
  const reference = over.digest ? `${path}@${over.digest}` : `${path}:${over.tag ?? base.tag}`;
  return { reference, pullPolicy: over.pullPolicy ?? base.pullPolicy };
}

function envoyArgs(input: ProxyDeployment): readonly string[] {
  const { bootstrap, extraArgs = [] } = input.parameters.envoyContainer ?? {};
  const components = Object.entries(bootstrap?.componentLogLevels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const levels = components.map(([name, level]) => `${name}:${level}`).join(',');
  // A replaced listener asks its clients to reconnect at once: the old filters are not to serve on for ten minutes.
  const draining = ['--drain-strategy', 'immediate'];
  return [
    '-c',
    `${configFolder}/envoy.yaml`,
    '--disable-hot-restart',
    '--service-node',
    '$(POD_NAME).$(POD_NAMESPACE)',
    ...draining,
    '--log-level',
    bootstrap?.logLevel ?? 'info',
    ...(levels ? ['--component-log-level', levels] : []),
    ...extraArgs,
  ];
}

const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const environment: readonly EnvVar[] = [
  field('POD_NAME', 'metadata.name'),
  field('POD_NAMESPACE', 'metadata.namespace'),
  field('POD_UID', 'metadata.uid'),
  field('NODE_NAME', 'spec.nodeName'),
  {
    name: 'OTEL_RESOURCE_ATTRIBUTES',
    value: 'k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE_NAME)',
  },
];

/** Not the ports of listeners: the Service finds those by number, and a listener that comes or goes must not replace the Pods. */
function containerPorts(input: ProxyDeployment): readonly ContainerPort[] {
  return input.parameters.stats?.enabled === false
    ? []
    : [{ name: 'http-monitoring', containerPort: metricsPort, protocol: 'TCP' as const }];
}

const ready = { path: '/ready', port: readinessPort };
/** No restart for want of a configuration: it would only delay the start when the controller is back. */
const startupProbe: Probe = { httpGet: ready, periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 3600 };
const readinessProbe: Probe = { httpGet: ready, periodSeconds: 10, timeoutSeconds: 2, failureThreshold: 3 };

function mounts(input: ProxyDeployment): readonly VolumeMount[] {
  return [
    { name: 'envoy-config', mountPath: configFolder, readOnly: true },
    ...(input.settings.xds.auth ? [{ name: 'xds-token', mountPath: tokenFolder, readOnly: true }] : []),
    ...(input.hbone ? [identityMount] : []),
  ];
}
