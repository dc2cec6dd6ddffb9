// How a user shapes the proxy of a Gateway: the GatewayParameters kind, one schema for its CRD and its types.
//   [schema here] -> CRD in charts/kgateway-crds;  [GatewayParameters of class] + [of Gateway] -> merge.ts -> proxy.ts
import { Type } from 'typebox';
import type { Static, TSchema } from 'typebox';
import type {
  EnvVar,
  LocalObjectReference,
  PodSecurityContext,
  Probe,
  ResourceRequirements,
  SecurityContext,
  Toleration,
  TopologySpreadConstraint,
  Volume,
  VolumeMount,
} from '../kube/types/core.ts';
import type { CustomResource } from '../kube/types/custom-resource.ts';
import type { KubeObject } from '../kube/types/meta.ts';

/** A field whose shape is Kubernetes' own: the API server checks it when the proxy is applied, and the problem is reported on the Gateway. */
function kubernetes<T>(description: string) {
  return Type.Optional(Type.Unsafe<T>({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true, description }));
}

function kubernetesList<T>(description: string) {
  const items = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return Type.Optional(Type.Unsafe<readonly T[]>({ type: 'array', items, description }));
}

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
const text = (description: string) => optional(Type.String({ description }));
const flag = (description: string) => optional(Type.Boolean({ description }));
const map = (description: string) => optional(Type.Record(Type.String(), Type.String(), { description }));
const intOrString = (description: string) => optional(Type.Unsafe<number | string>({ 'x-kubernetes-int-or-string': true, description }));
const seconds = (description: string) => optional(Type.Integer({ format: 'int64', minimum: 0, maximum: 31_536_000, description }));

const image = optional(
  Type.Object(
    {
      registry: text('Registry and path before the repository: `ghcr.io/kgateway-ts`.'),
      repository: text('Name of the image.'),
      tag: text('Tag. Ignored when `digest` is set.'),
      digest: text('Digest, `sha256:...`. Takes the place of the tag.'),
      pullPolicy: optional(Type.Enum(['Always', 'IfNotPresent', 'Never'], { description: 'When the kubelet pulls the image.' })),
    },
    { description: 'Image of the proxy. Fields that are absent come from the settings of the controller.' },
  ),
);

const deployment = optional(
  Type.Object(
    {
      replicas: optional(
        Type.Integer({
          format: 'int32',
          minimum: 0,
          description: 'Number of proxies. Absent: left to the autoscaler, or one. Zero is kept.',
        }),
      ),
      strategy: optional(
        Type.Object(
          {
            type: optional(Type.Enum(['RollingUpdate', 'Recreate'], { description: 'How old proxies give way to new ones.' })),
            rollingUpdate: optional(
              Type.Object(
                {
                  maxSurge: intOrString('Proxies above the desired number during an update.'),
                  maxUnavailable: intOrString('Proxies below the desired number during an update.'),
                },
                { description: 'Only with type RollingUpdate.' },
              ),
            ),
          },
          { description: 'Strategy of the Deployment.' },
        ),
      ),
    },
    { description: 'The Deployment of the proxy.' },
  ),
);

const logFormat = optional(
  Type.Object(
    {
      text: text('Format of a line, in the syntax of spdlog.'),
      json: kubernetes<Readonly<Record<string, unknown>>>('Fields of a JSON line.'),
    },
    {
      description: "Format of Envoy's own log.",
      'x-kubernetes-validations': [
        {
          message: 'exactly one of the fields in [json text] must be set',
          rule: '[has(self.json),has(self.text)].filter(x,x==true).size() == 1',
        },
      ],
    },
  ),
);

const envoyContainer = optional(
  Type.Object(
    {
      bootstrap: optional(
        Type.Object(
          {
            logLevel: text('Log level of Envoy: trace, debug, info, warn, error, critical or off. Default info.'),
            componentLogLevels: map('Log levels of components of Envoy: `upstream: debug`.'),
            logFormat,
            dnsResolver: optional(
              Type.Object(
                {
                  udpMaxQueries: optional(
                    Type.Integer({
                      format: 'int32',
                      minimum: 0,
                      description: 'Queries over one UDP socket before it is replaced. Default 100.',
                    }),
                  ),
                },
                { description: 'Resolver of names (c-ares).' },
              ),
            ),
            enableReadinessProbeProxyProtocol: flag(
              'Accept the PROXY protocol on the readiness port 8082, for load balancers that always send it.',
            ),
          },
          { description: 'Start configuration of Envoy.' },
        ),
      ),
      image,
      securityContext: kubernetes<SecurityContext>('Security context of the container; merged over the default.'),
      resources: kubernetes<ResourceRequirements>('Requests and limits.'),
      env: kubernetesList<EnvVar>('Environment variables, by name over the defaults.'),
      extraVolumeMounts: kubernetesList<VolumeMount>('Mounts of `podTemplate.extraVolumes`.'),
      extraArgs: optional(Type.Array(Type.String(), { minItems: 1, maxItems: 32, description: 'More arguments to Envoy, behind ours.' })),
    },
    { description: 'The container that runs Envoy.' },
  ),
);

const sdsContainer = optional(
  Type.Object(
    {
      bootstrap: optional(
        Type.Object(
          { logLevel: optional(Type.Enum(['debug', 'info', 'warn', 'error'], { description: 'Log level. Default info.' })) },
          { description: 'How the container starts.' },
        ),
      ),
      securityContext: kubernetes<SecurityContext>('Security context of the container; merged over the default.'),
      resources: kubernetes<ResourceRequirements>('Requests and limits.'),
    },
    { description: "The container that keeps a proxy's certificate of the mesh. Only waypoints that end HBONE have it." },
  ),
);

const podTemplate = optional(
  Type.Object(
    {
      extraLabels: map('More labels of the Pod.'),
      extraAnnotations: map('More annotations of the Pod.'),
      securityContext: kubernetes<PodSecurityContext>('Security context of the Pod; merged over the default.'),
      imagePullSecrets: kubernetesList<LocalObjectReference>('Secrets for pulling images.'),
      nodeSelector: map('Labels that a node must have.'),
      affinity: kubernetes<Readonly<Record<string, unknown>>>('Affinity of the Pod.'),
      tolerations: kubernetesList<Toleration>('Tolerations of the Pod.'),
      topologySpreadConstraints: kubernetesList<TopologySpreadConstraint>(
        'Spread over zones and nodes. A constraint without a selector gets the one of the proxy.',
      ),
      priorityClassName: text('Name of a PriorityClass.'),
      gracefulShutdown: optional(
        Type.Object(
          {
            enabled: flag('Drain before the end. Default true.'),
            sleepTimeSeconds: seconds('How long the proxy drains before it ends, in seconds. Default 10.'),
          },
          { description: 'What a proxy does when its Pod is deleted: it fails its health checks and asks clients to reconnect elsewhere.' },
        ),
      ),
      terminationGracePeriodSeconds: seconds('Seconds after which the Pod is killed. Default 60.'),
      startupProbe: kubernetes<Probe>('In place of the default startup probe.'),
      readinessProbe: kubernetes<Probe>('In place of the default readiness probe.'),
      livenessProbe: kubernetes<Probe>('A liveness probe; there is none by default.'),
      extraVolumes: kubernetesList<Volume>('More volumes of the Pod.'),
    },
    { description: 'The Pods of the proxy.' },
  ),
);

const port = { format: 'int32', minimum: 1, maximum: 65_535 };
const service = optional(
  Type.Object(
    {
      type: optional(
        Type.Enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'], { description: 'Type of the Service. Default LoadBalancer.' }),
      ),
      clusterIP: text('A fixed address of the Service within the cluster, or None.'),
      ports: optional(
        Type.Array(
          Type.Object({
            port: Type.Integer({ ...port, description: 'A port of the Gateway.' }),
            nodePort: optional(Type.Integer({ ...port, description: 'The node port that it gets.' })),
          }),
          { description: 'More about single ports.' },
        ),
      ),
      externalTrafficPolicy: optional(
        Type.Enum(['Cluster', 'Local'], { description: 'Local keeps the address of the client and serves on nodes with a proxy only.' }),
      ),
      loadBalancerClass: text('Class of the load balancer.'),
      loadBalancerSourceRanges: optional(Type.Array(Type.String(), { description: 'Client ranges that the load balancer lets through.' })),
      extraLabels: map('More labels of the Service.'),
      extraAnnotations: map('More annotations of the Service.'),
    },
    { description: 'The Service in front of the proxy.' },
  ),
);

/** An object that exists only when it is asked for; what we know of it is filled in. */
const overlay = (description: string) =>
  optional(
    Type.Object(
      {
        metadata: optional(
          Type.Object({ labels: map('Labels.'), annotations: map('Annotations.') }, { description: 'More metadata of the object.' }),
        ),
        spec: kubernetes<Readonly<Record<string, unknown>>>('Spec of the object.'),
      },
      { description },
    ),
  );

const kube = Type.Object(
  {
    deployment,
    envoyContainer,
    sdsContainer,
    podTemplate,
    service,
    serviceAccount: optional(
      Type.Object(
        { extraLabels: map('More labels.'), extraAnnotations: map('More annotations.') },
        { description: 'The ServiceAccount of the proxy.' },
      ),
    ),
    stats: optional(
      Type.Object(
        { enabled: flag('Serve metrics on port 9091 and annotate the Pod for Prometheus. Default true.') },
        { description: 'Metrics of the proxy.' },
      ),
    ),
    horizontalPodAutoscaler: overlay('A HorizontalPodAutoscaler for the proxy; its target is filled in.'),
    podDisruptionBudget: overlay('A PodDisruptionBudget for the proxy; its selector is filled in.'),
    omitDefaultSecurityContext: flag('Leave out the default security contexts, as OpenShift needs it.'),
  },
  { description: 'The controller deploys the proxy.' },
);

const spec = Type.Object(
  {
    kube: optional(kube),
    selfManaged: optional(Type.Object({}, { description: 'The user runs the proxy: nothing is deployed.' })),
  },
  {
    description: 'How the proxy of a Gateway comes to be.',
    'x-kubernetes-validations': [
      {
        message: 'exactly one of the fields in [kube selfManaged] must be set',
        rule: '[has(self.kube),has(self.selfManaged)].filter(x,x==true).size() == 1',
      },
    ],
  },
);

/** Spec of a GatewayParameters: exactly one of the two. */
export type GatewayParametersSpec = Static<typeof spec>;
/** What a user says about a proxy that we deploy. */
export type KubeParameters = Static<typeof kube>;
export interface GatewayParameters extends KubeObject {
  readonly spec: GatewayParametersSpec;
}

/** The kind, for the generator of CRDs. */
export const gatewayParametersCrd: CustomResource = {
  group: 'gateway.kgateway.dev',
  version: 'v1alpha1',
  kind: 'GatewayParameters',
  plural: 'gatewayparameters',
  description:
    'How the proxy of a Gateway is deployed. Named by `infrastructure.parametersRef` of a Gateway or by `parametersRef` of a GatewayClass.',
  categories: ['kgateway'],
  labels: { app: 'kgateway', 'app.kubernetes.io/name': 'kgateway' },
  printerColumns: [],
  spec,
  status: Type.Object({}, { description: 'Nothing yet.' }),
};
