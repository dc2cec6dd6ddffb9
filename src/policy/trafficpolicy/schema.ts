// TrafficPolicy gateway.kgateway.dev/v1alpha1: field shapes, defaults, bounds and rules of kgateway.
import { type Static, Type } from 'typebox';
import type { RetryCondition } from '../../ir/policy.ts';
import type { CustomResource } from '../../kube/types/custom-resource.ts';
import type { KubeObject } from '../../kube/types/meta.ts';
import { corsMethods, originPattern } from '../cors.ts';
import { headerNamePattern, headerValuePattern, maxHeaderValueLength } from '../../ir/header-syntax.ts';
import { quantityPattern } from '../quantity.ts';
import {
  atLeastOneOf,
  type DeepReadonly,
  disableSchema,
  durationSchema,
  exactlyOneOf,
  int32,
  kgatewayGroup,
  kgatewayVersion,
  policyColumns,
  policyLabels,
  policyStatusSchema,
  routeTargetRefs,
  routeTargetSelectors,
  unsupported,
  type Validation,
  validations,
} from '../schema.ts';
import { transformationSpec } from '../transformation/schema.ts';

/** Values of `retry.retryOn`. */
export const retryConditions = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
] as const satisfies readonly RetryCondition[];

const timeouts = Type.Object(
  {
    request: Type.Optional(durationSchema('Time that a request may take, retries included; 0s disables the timeout.')),
    streamIdle: Type.Optional(durationSchema('Time that a stream may be without a byte in either direction; 0s disables the timeout.')),
  },
  { description: 'Timeouts of requests. Timeouts of the HTTPRoute itself come first.' },
);

const retry = Type.Object(
  {
    retryOn: Type.Optional(
      Type.Array(Type.Enum([...retryConditions]), { description: 'Conditions under which a request is retried.', minItems: 1 }),
    ),
    attempts: Type.Optional(int32('Retries after the first attempt; 0 means none.', { default: 1, minimum: 0 })),
    perTryTimeout: Type.Optional(
      durationSchema('Time that one attempt may take, the first included; less than timeouts.request.', {
        duration: '1ms',
        message: 'retry.perTryTimeout must be at least 1ms.',
      }),
    ),
    statusCodes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 400, maximum: 599 }), {
        description: 'Status codes that are retried besides retryOn.',
        minItems: 1,
      }),
    ),
    backoffBaseInterval: Type.Optional(
      durationSchema(
        'Base of the exponential back-off between retries, with full jitter and at most ten times the base.',
        { duration: '1ms', message: 'retry.backoffBaseInterval must be at least 1ms.' },
        { default: '25ms' },
      ),
    ),
  },
  {
    description: 'When and how often to retry. Retries of the HTTPRoute itself come first.',
    ...validations({ rule: 'has(self.retryOn) || has(self.statusCodes)', message: 'retryOn or statusCodes must be set.' }),
  },
);

const headerSecretRef = Type.Object(
  {
    name: Type.String({ description: 'Name of the Secret.', minLength: 1, maxLength: 253 }),
    key: Type.Optional(
      Type.String({
        description: 'Key of the value. Absent: the name of the header; without a name too, every key is a header.',
        minLength: 1,
        maxLength: 253,
        pattern: '^[-._a-zA-Z0-9]+$',
      }),
    ),
    namespace: Type.Optional(
      Type.String({
        description: 'Namespace of the Secret, which takes a ReferenceGrant there; that of the policy unless given.',
        minLength: 1,
        maxLength: 63,
        pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
      }),
    ),
  },
  { description: 'Takes the value from a Secret.' },
);

const headerValues = (description: string) =>
  Type.Optional(
    Type.Array(
      Type.Object(
        {
          name: Type.Optional(
            Type.String({
              description: 'Name of the header, in any case. Absent with secretRef: the key of the Secret.',
              minLength: 1,
              maxLength: 256,
              pattern: headerNamePattern,
            }),
          ),
          value: Type.Optional(
            Type.String({
              description: 'Value of the header.',
              minLength: 1,
              maxLength: maxHeaderValueLength,
              pattern: headerValuePattern,
            }),
          ),
          secretRef: Type.Optional(headerSecretRef),
        },
        validations(exactlyOneOf('value', 'secretRef'), {
          rule: 'has(self.name) || has(self.secretRef)',
          message: 'name is required when using an inline value',
        }),
      ),
      { description, maxItems: 16, 'x-kubernetes-list-type': 'atomic' },
    ),
  );

const headerModifier = (description: string) =>
  Type.Optional(
    Type.Object(
      {
        set: headerValues('Headers to set; an existing one is replaced.'),
        add: headerValues('Headers to add; values are appended to an existing one.'),
        remove: Type.Optional(
          Type.Array(Type.String(), { description: 'Names of headers to remove.', maxItems: 16, 'x-kubernetes-list-type': 'set' }),
        ),
      },
      { description, ...validations(atLeastOneOf('set', 'add', 'remove')) },
    ),
  );

const headerModifiers = Type.Object(
  { request: headerModifier('Changes to the headers of requests.'), response: headerModifier('Changes to the headers of responses.') },
  { description: 'Changes to headers, besides those of filters of the route.', ...validations(atLeastOneOf('request', 'response')) },
);

const onlyAlone = (field: string, others: string): object =>
  validations({ rule: "!('*' in self && self.size() > 1)", message: `${field} cannot contain '*' alongside other ${others}` });
const headerNames = (description: string, rules: object = {}) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 256, pattern: headerNamePattern }), {
      description,
      maxItems: 64,
      'x-kubernetes-list-type': 'set',
      ...rules,
    }),
  );

const cors = Type.Object(
  {
    allowOrigins: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 253, pattern: originPattern }), {
        description: 'Origins that may read responses: scheme, host and optional port; the host may begin with a wildcard.',
        maxItems: 64,
        'x-kubernetes-list-type': 'set',
        ...onlyAlone('AllowOrigins', 'origins'),
      }),
    ),
    allowMethods: Type.Optional(
      Type.Array(Type.Enum([...corsMethods]), {
        description: 'Methods that a preflight allows.',
        maxItems: 9,
        'x-kubernetes-list-type': 'set',
        ...onlyAlone('AllowMethods', 'methods'),
      }),
    ),
    allowHeaders: headerNames('Request headers that a preflight allows.', onlyAlone('AllowHeaders', 'headers')),
    exposeHeaders: headerNames('Response headers that scripts may read.'),
    allowCredentials: Type.Optional(Type.Boolean({ description: 'Whether requests may carry credentials.' })),
    maxAge: Type.Optional(int32('Seconds that a client may keep the answer to a preflight.', { default: 5, minimum: 1 })),
    disable: Type.Optional(disableSchema),
  },
  { description: 'Cross-origin resource sharing. A CORS filter of the route comes first.' },
);

const percent = (description: string) => Type.Optional(int32(description, { minimum: 0, maximum: 100 }));

const localRateLimit = Type.Object(
  {
    tokenBucket: Type.Optional(
      Type.Object(
        {
          maxTokens: int32('Tokens that the bucket holds: the largest burst.', { minimum: 1 }),
          tokensPerFill: Type.Optional(int32('Tokens added at each interval.', { default: 1, minimum: 1 })),
          fillInterval: durationSchema('Time between fills, at least 50ms.', { duration: '50ms', message: 'must be at least 50ms' }),
        },
        { description: 'The bucket: each request takes a token, and without one is answered with 429.' },
      ),
    ),
    percentEnabled: percent('Percentage of requests that take a token; 100 when not set.'),
    percentEnforced: percent('Percentage of requests without a token that are refused; 100 when not set.'),
  },
  { description: 'A limit kept by each proxy on its own. Empty: no local limit here, whatever less specific policies say.' },
);

const buffer = Type.Object(
  {
    maxRequestSize: Type.Optional(
      Type.Unsafe<string | number>({
        description: 'Largest body that is buffered, such as 512Ki or 1Mi; a larger request is answered with 413.',
        'x-kubernetes-int-or-string': true,
        pattern: quantityPattern,
        ...validations({
          rule:
            "(type(self) == int && int(self) > 0 && int(self) < 4294967296) || (type(self) == string && quantity(self).isGreaterThan(quantity('0'))" +
            " && quantity(self).isLessThan(quantity('4Gi')))",
          message: 'maxRequestSize must be greater than 0 and less than 4Gi',
        }),
      }),
    ),
    disable: Type.Optional(disableSchema),
  },
  { description: 'Buffers requests before they go to a backend.', ...validations(exactlyOneOf('maxRequestSize', 'disable')) },
);

/** Of a field that only some kinds of targets can have. */
function onlyFor(field: string, kinds: readonly string[]): Validation {
  const each = (list: string): string =>
    `(!has(self.${list}) || self.${list}.all(r, ${kinds.map((k) => `r.kind == '${k}'`).join(' || ')}))`;
  return {
    rule: `!has(self.${field}) || (${each('targetRefs')} && ${each('targetSelectors')})`,
    message: `${field} can only be used when targeting ${kinds.join(' or ')} resources`,
  };
}

/** Spec of a TrafficPolicy. The fields made by `unsupported` are those of kgateway that have no effect yet and are refused. */
const trafficPolicySpec = Type.Object(
  {
    targetRefs: routeTargetRefs,
    targetSelectors: routeTargetSelectors,
    timeouts: Type.Optional(timeouts),
    retry: Type.Optional(retry),
    headerModifiers: Type.Optional(headerModifiers),
    cors: Type.Optional(cors),
    rateLimit: Type.Optional(
      Type.Object(
        { local: Type.Optional(localRateLimit), global: unsupported('Limits kept by an external service.') },
        { description: 'Limits on the rate of requests.' },
      ),
    ),
    buffer: Type.Optional(buffer),
    transformation: Type.Optional(transformationSpec),
    acl: unsupported('Access by client address.'),
    apiKeyAuth: unsupported('Authentication by API key.'),
    autoHostRewrite: Type.Optional(
      Type.Boolean({
        description:
          'Sets the Host header to the DNS name of the backend. Not supported by this version: a policy that sets it is not accepted.',
      }),
    ),
    basicAuth: unsupported('HTTP basic authentication.'),
    compression: unsupported('Compression of responses, decompression of requests.'),
    csrf: unsupported('Protection from cross-site request forgery.'),
    extAuth: unsupported('Authorization by an external service.'),
    extProc: unsupported('External processing.'),
    faultInjection: unsupported('Injected delays and errors.'),
    internalRedirect: unsupported('Redirects followed by the gateway.'),
    jwtAuth: unsupported('Authentication by JWT.'),
    oauth2: unsupported('OAuth2 and OpenID Connect.'),
    rbac: unsupported('Authorization by CEL expressions.'),
    requestMirror: unsupported('Options of mirrored requests.'),
    statPrefix: Type.Optional(
      Type.String({
        description: 'Prefix of statistics of the route. Not supported by this version: a policy that sets it is not accepted.',
        minLength: 1,
        maxLength: 256,
        pattern: '^([a-zA-Z0-9_%.-]|\\{\\{\\s*(route_name|route_namespace|rule_name)\\s*\\}\\})+$',
      }),
    ),
    tracing: unsupported('Tracing of the route.'),
    urlRewrite: unsupported('Rewriting of paths by regular expression.'),
  },
  {
    description: 'What holds for the requests of the targets.',
    ...validations(
      onlyFor('autoHostRewrite', ['HTTPRoute']),
      onlyFor('urlRewrite', ['HTTPRoute']),
      onlyFor('tracing', ['HTTPRoute', 'GRPCRoute']),
      onlyFor('statPrefix', ['HTTPRoute', 'GRPCRoute']),
      {
        rule:
          'has(self.retry) && has(self.timeouts) ? (has(self.retry.perTryTimeout) && has(self.timeouts.request) ?' +
          ' duration(self.retry.perTryTimeout) < duration(self.timeouts.request) : true) : true',
        message: 'retry.perTryTimeout must be less than timeouts.request',
      },
    ),
  },
);

export type TrafficPolicySpec = DeepReadonly<Static<typeof trafficPolicySpec>>;

/** A TrafficPolicy as the API server serves it. */
export interface TrafficPolicy extends KubeObject {
  readonly spec: TrafficPolicySpec;
  readonly status?: DeepReadonly<Static<typeof policyStatusSchema>>;
}

/** The kind, for its CustomResourceDefinition and for watching it. */
export const trafficPolicyCrd: CustomResource = {
  group: kgatewayGroup,
  version: kgatewayVersion,
  kind: 'TrafficPolicy',
  plural: 'trafficpolicies',
  description: 'TrafficPolicy says how requests of the routes that it targets, or of all routes of a Gateway or listener, are handled.',
  categories: ['kgateway'],
  labels: policyLabels,
  printerColumns: policyColumns,
  spec: trafficPolicySpec,
  status: policyStatusSchema,
};
