// DirectResponse gateway.kgateway.dev/v1alpha1: field shapes, bounds and rules of kgateway. An answer that needs no backend.
import { type Static, Type } from 'typebox';
import type { CustomResource } from '../../kube/types/custom-resource.ts';
import type { KubeObject } from '../../kube/types/meta.ts';
import {
  type DeepReadonly,
  exactlyOneOf,
  int32,
  kgatewayGroup,
  kgatewayVersion,
  policyColumns,
  policyLabels,
  policyStatusSchema,
  validations,
} from '../schema.ts';

const bodyFormat = Type.Object(
  {
    contentType: Type.Optional(
      Type.String({ description: 'Content-Type of the answer; text/plain, with json application/json, unless given.' }),
    ),
    text: Type.Optional(Type.String({ description: 'The body, with command operators of Envoy as %REQ(X-Name)%.', minLength: 1 })),
    json: Type.Optional(
      Type.Unsafe<unknown>({
        type: 'object',
        description: 'The body as an object, whose strings may hold command operators of Envoy.',
        'x-kubernetes-preserve-unknown-fields': true,
      }),
    ),
  },
  { description: 'A body that says something of the request.', ...validations(exactlyOneOf('json', 'text')) },
);

/** Spec of a DirectResponse. */
const directResponseSpec = Type.Object(
  {
    status: int32('Status code of the answer.', { minimum: 200, maximum: 599 }),
    body: Type.Optional(Type.String({ description: 'The body, as it is; at most 1 MiB.', minLength: 1 })),
    bodyFormat: Type.Optional(bodyFormat),
  },
  {
    description: 'The answer.',
    ...validations({
      rule: '[has(self.body),has(self.bodyFormat)].filter(x,x==true).size() <= 1',
      message: 'at most one of the fields in [body bodyFormat] may be set',
    }),
  },
);

/** A DirectResponse as the API server serves it. */
export interface DirectResponse extends KubeObject {
  readonly spec: DeepReadonly<Static<typeof directResponseSpec>>;
}

/** The kind, for its CustomResourceDefinition and for watching it. */
export const directResponseCrd: CustomResource = {
  group: kgatewayGroup,
  version: kgatewayVersion,
  kind: 'DirectResponse',
  plural: 'directresponses',
  description: 'DirectResponse is an answer that an ExtensionRef filter of a route gives itself, without a backend.',
  categories: ['kgateway'],
  labels: policyLabels,
  printerColumns: [...policyColumns, { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }],
  spec: directResponseSpec,
  status: policyStatusSchema,
};
