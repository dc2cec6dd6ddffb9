import { loadAll } from 'js-yaml';
import { Type } from 'typebox';
import { describe, expect, test } from 'vitest';
import { crdFileName, crdYaml, customResourceDefinition, structuralSchema } from './crd.ts';
import type { CustomResource } from './types/custom-resource.ts';

const widget: CustomResource = {
  group: 'example.dev',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  description: 'A widget.',
  categories: ['all'],
  labels: { app: 'example' },
  printerColumns: [{ name: 'Size', type: 'string', jsonPath: '.spec.size' }],
  spec: Type.Object({ size: Type.String() }),
  status: Type.Object({}),
};

describe('structuralSchema', () => {
  test.each([
    ['a record', Type.Record(Type.String(), Type.Integer()), { type: 'object', additionalProperties: { type: 'integer' } }],
    ['literals', Type.Union([Type.Literal('a'), Type.Literal('b')]), { type: 'string', enum: ['a', 'b'] }],
    ['one literal', Type.Literal('a'), { type: 'string', enum: ['a'] }],
    ['an enum', Type.Enum(['a', 'b']), { type: 'string', enum: ['a', 'b'] }],
    ['an enum of numbers', Type.Unsafe<301 | 302>({ enum: [301, 302] }), { type: 'integer', enum: [301, 302] }],
    ['anything', Type.Unknown(), { 'x-kubernetes-preserve-unknown-fields': true }],
    ['an empty object', Type.Object({}), { type: 'object' }],
    [
      'int-or-string',
      Type.Unsafe<string | number>({ 'x-kubernetes-int-or-string': true, pattern: '^[0-9]+$' }),
      { 'x-kubernetes-int-or-string': true, pattern: '^[0-9]+$', anyOf: [{ type: 'integer' }, { type: 'string' }] },
    ],
    [
      'optional fields, defaults, lists',
      Type.Object(
        {
          b: Type.Array(Type.String(), { 'x-kubernetes-list-type': 'set' }),
          a: Type.Boolean(),
          c: Type.Optional(Type.Integer({ default: 5 })),
        },
        { additionalProperties: false, $id: 'x', description: 'd' },
      ),
      {
        type: 'object',
        description: 'd',
        properties: {
          b: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
          a: { type: 'boolean' },
          c: { type: 'integer', default: 5 },
        },
        required: ['a', 'b'],
      },
    ],
  ])('%s', (_name, schema, want) => {
    expect(structuralSchema(schema, 'x')).toEqual(want);
  });

  test.each([
    ['an unknown keyword', Type.Object({ a: Type.String({ minLenght: 1 }) }), 'x.a: keyword minLenght'],
    ['a union of objects', Type.Array(Type.Union([Type.Object({}), Type.String()])), 'x[]: a union must be of literals'],
    ['an intersection', Type.Intersect([Type.Object({}), Type.Object({})]), 'x: keyword allOf'],
  ])('refuses %s', (_name, schema, message) => {
    expect(() => structuralSchema(schema, 'x')).toThrow(message);
  });
});

test('the definition has the status subresource, categories and columns', () => {
  const crd = customResourceDefinition(widget) as {
    spec: { names: object; versions: readonly { subresources: object; additionalPrinterColumns: object }[] };
  };
  expect(crd.spec.names).toEqual({ kind: 'Widget', listKind: 'WidgetList', plural: 'widgets', singular: 'widget', categories: ['all'] });
  expect(crd.spec.versions[0]?.subresources).toEqual({ status: {} });
  expect(crd.spec.versions[0]?.additionalPrinterColumns).toEqual(widget.printerColumns);
});

test('the YAML reads back as the definition and does not depend on the order of keys', () => {
  const yaml = crdYaml(widget);
  expect(loadAll(yaml)).toEqual([customResourceDefinition(widget)]);
  const reversed = Object.fromEntries(Object.entries(widget).reverse()) as unknown as CustomResource;
  expect(crdYaml(reversed)).toBe(yaml);
  expect(crdFileName(widget)).toBe('example.dev_widgets.yaml');
});

test('refuses text that Helm would execute', () => {
  expect(() => crdYaml({ ...widget, description: 'use {{name}}' })).toThrow('Helm');
});
