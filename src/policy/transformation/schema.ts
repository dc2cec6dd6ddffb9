// TrafficPolicy.transformation: field shapes, defaults, bounds and rules of kgateway.
import { type Static, Type } from 'typebox';
import { type DeepReadonly, exactlyOneOf, validations } from '../schema.ts';

const headers = (description: string) =>
  Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String({ description: 'Name of the header; :path, :method, :authority of requests and :status of responses too.' }),
        value: Type.Optional(
          Type.String({ description: 'Template of the value. An empty result sets no header, and removes one that is set.' }),
        ),
      }),
      { description, maxItems: 16, 'x-kubernetes-list-type': 'atomic' },
    ),
  );

const message = (description: string) =>
  Type.Optional(
    Type.Object(
      {
        set: headers('Headers to set; an existing one is replaced.'),
        add: headers('Headers to add to what is there.'),
        remove: Type.Optional(
          Type.Array(Type.String(), { description: 'Names of headers to remove.', maxItems: 16, 'x-kubernetes-list-type': 'set' }),
        ),
        body: Type.Optional(
          Type.Object(
            {
              parseAs: Type.Optional(
                Type.Enum(['AsString', 'AsJson', 'None'], {
                  description:
                    'What templates see of the body: its text, its fields as variables (a body that is not JSON is answered with 400), or nothing.',
                  default: 'AsString',
                }),
              ),
              value: Type.Optional(Type.String({ description: 'Template of the new body.' })),
            },
            { description: 'How the body is read, and what it becomes.' },
          ),
        ),
        dynamicMetadata: Type.Optional(
          Type.Array(
            Type.Object({
              namespace: Type.String({ description: 'Namespace of the dynamic metadata.', minLength: 1 }),
              key: Type.String({ description: 'Key within the namespace.', minLength: 1 }),
              value: Type.Object(
                { stringValue: Type.Optional(Type.String({ description: 'Template of a string.', minLength: 1 })) },
                { description: 'Value of the entry.', ...validations(exactlyOneOf('stringValue')) },
              ),
            }),
            { description: 'Dynamic metadata of Envoy to set, for filters that follow and access logs.', maxItems: 16 },
          ),
        ),
      },
      { description },
    ),
  );

/** `spec.transformation` of a TrafficPolicy. */
export const transformationSpec = Type.Object(
  { request: message('What becomes of requests.'), response: message('What becomes of responses.') },
  { description: 'Templates over requests and responses. A template that cannot be used makes the policy invalid.' },
);

export type TransformationSpec = DeepReadonly<Static<typeof transformationSpec>>;
export type MessageTransformationSpec = NonNullable<TransformationSpec['request']>;
