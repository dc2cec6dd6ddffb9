// Parts of schemas that the kinds of policies share. Bounds, patterns and messages are those of kgateway's CRDs.
import { Type, type TOptional } from 'typebox';
import type { PrinterColumn } from '../kube/types/custom-resource.ts';
import { durationPattern } from './duration.ts';

/** API group and version of kgateway's own kinds. */
export const kgatewayGroup = 'gateway.kgateway.dev';
export const kgatewayVersion = 'v1alpha1';
const gatewayApiGroup = 'gateway.networking.k8s.io';

/** A type made by Static<>, as objects out of a cache are: readonly to the bottom. */
export type DeepReadonly<T> = T extends readonly (infer U)[]
  ? readonly DeepReadonly<U>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** A rule in CEL that the API server checks. */
export interface Validation {
  readonly rule: string;
  readonly message: string;
}

/** The keyword that carries CEL rules. */
export function validations(...rules: readonly Validation[]): { readonly 'x-kubernetes-validations': readonly Validation[] } {
  return { 'x-kubernetes-validations': rules };
}

/** How many of `fields` are set, in CEL. */
function countSet(fields: readonly string[]): string {
  return `[${fields.map((f) => `has(self.${f})`).join(',')}].filter(x,x==true).size()`;
}

export function exactlyOneOf(...fields: readonly string[]): Validation {
  return { rule: `${countSet(fields)} == 1`, message: `exactly one of the fields in [${fields.join(' ')}] must be set` };
}

export function atLeastOneOf(...fields: readonly string[]): Validation {
  return { rule: `${countSet(fields)} >= 1`, message: `at least one of the fields in [${fields.join(' ')}] must be set` };
}

/** A Gateway API duration; `atLeast` adds a lower bound with its message. */
export function durationSchema(description: string, atLeast?: { readonly duration: string; readonly message: string }, more: object = {}) {
  const rules: Validation[] = [{ rule: `matches(self, '${durationPattern}')`, message: 'invalid duration value' }];
  if (atLeast) rules.push({ rule: `duration(self) >= duration('${atLeast.duration}')`, message: atLeast.message });
  return Type.String({ description, maxLength: 32, ...more, ...validations(...rules) });
}

export function int32(description: string, bounds: { readonly minimum?: number; readonly maximum?: number; readonly default?: number }) {
  return Type.Integer({ description, format: 'int32', ...bounds });
}

/** Presence means: off here, whatever is set further up. */
export const disableSchema = Type.Object({}, { description: 'Disables the feature here, whatever less specific policies say.' });

/**
 * A field of kgateway that this version does not act on. It stays in the schema so that the API server keeps it and the policy is refused with its name:
 * dropped silently, it could turn off a security policy.
 */
export function unsupported(what: string): TOptional {
  return Type.Optional(
    Type.Unsafe<unknown>({
      type: 'object',
      description: `${what} Not supported by this version: a policy that sets it is not accepted.`,
      'x-kubernetes-preserve-unknown-fields': true,
    }),
  );
}

const groupPattern = '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
const sectionPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
const kindPattern = '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$';
const namespacePattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';

const groupSchema = Type.String({
  description: 'API group of the target; gateway.networking.k8s.io for kinds of the Gateway API.',
  maxLength: 253,
  pattern: groupPattern,
});
const kindSchema = Type.String({
  description: 'Kind of the target, such as Gateway or HTTPRoute.',
  minLength: 1,
  maxLength: 63,
  pattern: kindPattern,
});
const nameSchema = Type.String({ description: 'Name of the target.', minLength: 1, maxLength: 253 });
const sectionSchema = Type.Optional(
  Type.String({
    description: 'Section of the target: a listener of a Gateway or ListenerSet, a named rule of a route.',
    minLength: 1,
    maxLength: 253,
    pattern: sectionPattern,
  }),
);

function kindRule(field: string, kinds: readonly string[], suffixKind: string): Validation {
  const listed = kinds.map((k) => `r.kind == '${k}'`).join(' || ');
  return {
    rule: `self.all(r, (${listed} || r.kind.endsWith('${suffixKind}')))`,
    message: `${field} may only reference ${kinds.join(', ')}, or ${suffixKind} resources`,
  };
}

/** `targetRefs` of a policy of routes. Targets are in the namespace of the policy. */
export const routeTargetRefs = Type.Optional(
  Type.Array(Type.Object({ group: groupSchema, kind: kindSchema, name: nameSchema, sectionName: sectionSchema }), {
    description: 'Objects that the policy is attached to, by name, in its own namespace.',
    minItems: 1,
    maxItems: 16,
    ...validations(kindRule('targetRefs', ['Gateway', 'HTTPRoute', 'GRPCRoute'], 'ListenerSet')),
  }),
);

/** `targetSelectors` of a policy of routes. */
export const routeTargetSelectors = Type.Optional(
  Type.Array(
    Type.Object({
      group: groupSchema,
      kind: kindSchema,
      matchLabels: Type.Record(Type.String(), Type.String(), { description: 'Labels that a target must have, all of them.' }),
      sectionName: sectionSchema,
    }),
    {
      description: 'Objects that the policy is attached to, by label, in its own namespace.',
      ...validations(kindRule('targetSelectors', ['Gateway', 'HTTPRoute', 'GRPCRoute'], 'ListenerSet')),
    },
  ),
);

const conditionSchema = Type.Object({
  type: Type.String({
    maxLength: 316,
    pattern: '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
  }),
  status: Type.Enum(['True', 'False', 'Unknown']),
  reason: Type.String({ minLength: 1, maxLength: 1024, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' }),
  message: Type.String({ maxLength: 32_768 }),
  lastTransitionTime: Type.String({ format: 'date-time' }),
  observedGeneration: Type.Optional(Type.Integer({ format: 'int64', minimum: 0 })),
});

const ancestorRefSchema = Type.Object(
  {
    group: Type.Optional(Type.String({ default: gatewayApiGroup, maxLength: 253, pattern: groupPattern })),
    kind: Type.Optional(Type.String({ default: 'Gateway', minLength: 1, maxLength: 63, pattern: kindPattern })),
    namespace: Type.Optional(Type.String({ minLength: 1, maxLength: 63, pattern: namespacePattern })),
    name: Type.String({ minLength: 1, maxLength: 253 }),
    sectionName: Type.Optional(Type.String({ minLength: 1, maxLength: 253, pattern: sectionPattern })),
    port: Type.Optional(int32('Port of the ancestor.', { minimum: 1, maximum: 65_535 })),
  },
  { description: 'The Gateway or ListenerSet, or a target that could not be found.' },
);

/** PolicyStatus of the Gateway API. */
export const policyStatusSchema = Type.Object(
  {
    ancestors: Type.Array(
      Type.Object({
        ancestorRef: ancestorRefSchema,
        controllerName: Type.String({
          description: 'Controller that wrote this entry.',
          minLength: 1,
          maxLength: 253,
          pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
        }),
        conditions: Type.Array(conditionSchema, {
          minItems: 1,
          maxItems: 8,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['type'],
        }),
      }),
      { description: 'One entry for each Gateway that the policy takes effect at.', maxItems: 16, 'x-kubernetes-list-type': 'atomic' },
    ),
  },
  { description: 'What became of the policy.' },
);

/** A status that is its conditions. */
export const conditionsStatusSchema = Type.Object(
  {
    conditions: Type.Optional(
      Type.Array(conditionSchema, {
        description: 'What became of the object.',
        maxItems: 8,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
      }),
    ),
  },
  { description: 'What became of the object.' },
);

/** Columns of `kubectl get` for kinds with a PolicyStatus. */
export const policyColumns: readonly PrinterColumn[] = ['Accepted', 'Attached'].map((type) => ({
  name: type,
  type: 'string',
  jsonPath: `.status.ancestors[*].conditions[?(@.type=='${type}')].status`,
  description: `Condition ${type} at each ancestor.`,
}));

/** Labels on the definitions of all kinds. */
export const kgatewayLabels = { app: 'kgateway', 'app.kubernetes.io/name': 'kgateway' } as const;

/** Labels on the definition of a policy kind, by which tools find policies (GEP-713). */
export const policyLabels = {
  ...kgatewayLabels,
  'gateway.networking.k8s.io/policy': 'Direct',
} as const;
