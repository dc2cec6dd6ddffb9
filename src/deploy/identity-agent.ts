/**
 * What a waypoint that ends HBONE has beside Envoy: an agent that keeps its certificate.
 *
 *   projected token, ConfigMaps istio-ca-root-cert and istio-ca-crl ─> agent ─> folder in memory ─> Envoy
 *
 * It is a sidecar in Kubernetes' sense (an init container that stays): Envoy starts after its first certificate, and ends before it.
 */
import { identityFolder } from '../ir/mesh-identity.ts';
import type { KubeParameters } from './gatewayparameters.ts';
import { deepMerge } from './merge.ts';
import type { Container, SecurityContext, Volume, VolumeMount } from '../kube/types/core.ts';

type SdsContainer = NonNullable<KubeParameters['sdsContainer']>;

/** Answers `/ready` while there is a valid certificate. */
export const agentPort = 15_021;

/** Where the agent finds the token, the CAs of the mesh, and what they revoked. */
export const identityTokenFile = '/var/run/secrets/istio-token/token';
export const identityRootsFile = '/var/run/secrets/istio/root-cert.pem';
export const identityRevokedFile = '/var/run/secrets/istio-crl/ca-crl.pem';

/** What istiod asks of a token (audience), and the ConfigMaps that it writes to every namespace: the second is empty unless its CA came with a list. */
const caAudience = 'istio-ca';
const caConfigMap = 'istio-ca-root-cert';
const revokedConfigMap = 'istio-ca-crl';
const tokenSeconds = 43_200;

/** What the controller says about agents. */
export interface IdentityAgentSettings {
  /** Image of the controller, which the agent is a command of. */
  readonly image: string;
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** `host:port` of Istio's CA. */
  readonly caAddress: string;
  readonly clusterId: string;
}

/** The volumes of the Pod. */
export const identityVolumes: readonly Volume[] = [
  { name: 'workload-identity', emptyDir: { medium: 'Memory' } },
  {
    name: 'istio-token',
    projected: { sources: [{ serviceAccountToken: { path: 'token', audience: caAudience, expirationSeconds: tokenSeconds } }] },
  },
  { name: 'istio-ca', configMap: { name: caConfigMap } },
  { name: 'istio-ca-crl', configMap: { name: revokedConfigMap, optional: true } },
];

/** Where Envoy reads. */
export const identityMount: VolumeMount = { name: 'workload-identity', mountPath: identityFolder, readOnly: true };

/** The container. */
export function identityAgent(settings: IdentityAgentSettings, p: SdsContainer = {}, defaultSecurity: SecurityContext = {}): Container {
  const securityContext = deepMerge(defaultSecurity, p.securityContext);
  const level = p.bootstrap?.logLevel;
  const ready = { path: '/ready', port: agentPort };
  return {
    name: 'identity',
    image: settings.image,
    imagePullPolicy: settings.pullPolicy,
    args: ['agent'],
    restartPolicy: 'Always',
    env: [
      { name: 'CA_ADDRESS', value: settings.caAddress },
      { name: 'CLUSTER_ID', value: settings.clusterId },
      ...(level === undefined ? [] : [{ name: 'KGW_LOG_LEVEL', value: level }]),
    ],
    ...(p.resources && { resources: p.resources }),
    // As long as it takes: without a certificate Envoy could serve nobody.
    startupProbe: { httpGet: ready, periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 3600 },
    readinessProbe: { httpGet: ready, periodSeconds: 10, timeoutSeconds: 2, failureThreshold: 3 },
    ...(Object.keys(securityContext).length > 0 && { securityContext }),
    volumeMounts: [
      { name: 'workload-identity', mountPath: identityFolder },
      { name: 'istio-token', mountPath: '/var/run/secrets/istio-token', readOnly: true },
      { name: 'istio-ca', mountPath: '/var/run/secrets/istio', readOnly: true },
      { name: 'istio-ca-crl', mountPath: '/var/run/secrets/istio-crl', readOnly: true },
    ],
  };
}
