// Backend gateway.kgateway.dev/v1alpha1: field shapes, defaults, bounds and rules of kgateway. Places that are no Services of the cluster.
import { type Static, Type } from 'typebox';
import type { CustomResource } from '../../kube/types/custom-resource.ts';
import type { KubeObject } from '../../kube/types/meta.ts';
import {
  type DeepReadonly,
  conditionsStatusSchema,
  exactlyOneOf,
  int32,
  kgatewayGroup,
  kgatewayLabels,
  kgatewayVersion,
  unsupported,
  type Validation,
  validations,
} from '../schema.ts';

const hosts = Type.Array(
  Type.Object({
    host: Type.String({
      description:
        'An IP address, or a name that the proxy resolves. Addresses of loopback, link-local and multicast are refused, as in EndpointSlices.',
      minLength: 1,
    }),
    port: int32('Port of the host.', { minimum: 1, maximum: 65_535 }),
  }),
  { description: 'Requests are shared among these.', minItems: 1 },
);

const staticBackend = Type.Object(
  {
    hosts,
    appProtocol: Type.Optional(
      Type.Enum(['http2', 'grpc', 'grpc-web', 'kubernetes.io/h2c', 'kubernetes.io/ws'], {
        description: 'What the hosts speak: HTTP/2 for http2, grpc and kubernetes.io/h2c, otherwise HTTP/1.1.',
      }),
    ),
  },
  { description: 'Hosts by address or name.' },
);

const dynamicForwardProxy = Type.Object(
  {
    enableTls: Type.Optional(
      Type.Boolean({ description: 'Connect over TLS; the certificate must be for the name, by a CA of the system.' }),
    ),
  },
  { description: 'Wherever the Host header of the request says. Addresses of loopback, link-local and multicast are not connected to.' },
);

/** What goes into the ARN and the host name of a function. */
export const lambdaPatterns = {
  region: '^[a-z0-9-]+$',
  accountId: '^[0-9]{12}$',
  functionName: '^[A-Za-z0-9-_]{1,140}$',
  qualifier: '^(\\$LATEST|[0-9]+|[A-Za-z0-9-_]{1,128})$',
} as const;

const accountId = Type.Optional(
  Type.String({ description: 'AWS account of the function.', minLength: 1, maxLength: 12, pattern: lambdaPatterns.accountId }),
);

const lambda = Type.Object(
  {
    functionName: Type.String({ description: 'Name of the function.', pattern: lambdaPatterns.functionName }),
    accountId,
    qualifier: Type.Optional(
      Type.String({
        description: 'Version or alias of the function.',
        default: '$LATEST',
        pattern: lambdaPatterns.qualifier,
      }),
    ),
    endpointURL: Type.Optional(
      Type.String({
        description: 'Where functions are invoked, such as https://lambda.example.com; that of the region unless given.',
        maxLength: 2048,
        pattern: '^https?://[-a-zA-Z0-9@:%.+~#?&/=]+$',
      }),
    ),
    invocationMode: Type.Optional(
      Type.Enum(['Sync', 'Async'], { description: 'Async: the client gets the acceptance, not the answer.', default: 'Sync' }),
    ),
    payloadTransformMode: Type.Optional(
      Type.Enum(['None', 'Envoy'], {
        description: 'Envoy: the function gets an event that describes the request, and answers with one. None: the body as it is.',
        default: 'Envoy',
      }),
    ),
  },
  { description: 'Requests are turned into invocations of a Lambda function.' },
);

const aws = Type.Object(
  {
    region: Type.Optional(
      Type.String({ description: 'Region.', default: 'us-east-1', minLength: 1, maxLength: 63, pattern: lambdaPatterns.region }),
    ),
    accountId,
    auth: Type.Optional(
      Type.Object(
        {
          type: Type.Enum(['Secret', 'AssumeRole'], { description: 'Secret. AssumeRole is not supported by this version.' }),
          secretRef: Type.Optional(
            Type.Object(
              { name: Type.Optional(Type.String({ description: 'Name of the Secret.', default: '' })) },
              { description: 'Secret in the namespace of the Backend, with accessKey, secretKey and possibly sessionToken.' },
            ),
          ),
          assumeRole: unsupported('Credentials of another role.'),
        },
        {
          description: 'Credentials. Absent: those that the proxy finds in its environment (IAM roles for service accounts and the like).',
          ...validations(
            { rule: "!has(self.secretRef) || self.type == 'Secret'", message: "secretRef must be nil if the type is not 'Secret'" },
            { rule: "has(self.secretRef) || self.type != 'Secret'", message: "secretRef must be specified when type is 'Secret'" },
          ),
        },
      ),
    ),
    lambda: Type.Optional(lambda),
    ec2: unsupported('EC2 instances.'),
  },
  {
    description: 'Services of AWS.',
    ...validations(exactlyOneOf('lambda', 'ec2'), {
      rule: '!has(self.lambda) || has(self.accountId) || has(self.lambda.accountId)',
      message: 'accountId must be specified on aws or aws.lambda for lambda backends',
    }),
  },
);

/** Values of the deprecated field `type`, with the field that it asks for. */
const types = {
  AWS: 'aws',
  Static: 'static',
  DynamicForwardProxy: 'dynamicForwardProxy',
  GCP: 'gcp',
  PriorityGroups: 'priorityGroups',
} as const;

function typeRule([type, field]: readonly [string, string]): Validation {
  return {
    rule: `!has(self.type) || self.type != '${type}' || has(self.${field})`,
    message: `${field} backend must be specified when type is '${type}'`,
  };
}

/** Spec of a Backend. The fields made by `unsupported` are those of kgateway that have no effect yet and are refused. */
const backendSpec = Type.Object(
  {
    type: Type.Optional(
      Type.Enum(Object.keys(types) as (keyof typeof types)[], {
        description: 'Deprecated: the field that is set says it.',
      }),
    ),
    static: Type.Optional(staticBackend),
    aws: Type.Optional(aws),
    dynamicForwardProxy: Type.Optional(dynamicForwardProxy),
    gcp: unsupported('Services of GCP that ask for an identity token.'),
    priorityGroups: unsupported('Backends that stand in for each other.'),
  },
  {
    description: 'Where requests go.',
    ...validations(...Object.entries(types).map(typeRule), exactlyOneOf(...Object.values(types))),
  },
);

export type BackendSpec = DeepReadonly<Static<typeof backendSpec>>;

/** A Backend as the API server serves it. */
export interface Backend extends KubeObject {
  readonly spec: BackendSpec;
}

/** The kind, for its CustomResourceDefinition and for watching it. */
export const backendCrd: CustomResource = {
  group: kgatewayGroup,
  version: kgatewayVersion,
  kind: 'Backend',
  plural: 'backends',
  description: 'Backend is a place that backendRefs of routes lead to, and that is no Service of the cluster.',
  categories: ['kgateway'],
  labels: kgatewayLabels,
  printerColumns: [
    { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'Kind of backend, where it is said.' },
    {
      name: 'Accepted',
      type: 'string',
      jsonPath: ".status.conditions[?(@.type=='Accepted')].status",
      description: 'Whether it can be used.',
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  spec: backendSpec,
  status: conditionsStatusSchema,
};
