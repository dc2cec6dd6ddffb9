// [typebox schema] -> [apiextensions.k8s.io/v1 CustomResourceDefinition] -> [YAML], the same bytes for the same schema.
// What a structural schema cannot say is an error here, not at the API server.
import { dump } from 'js-yaml';
import type { CustomResource } from './types/custom-resource.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = Readonly<Record<string, unknown>>;

/** Keywords that go through unchanged (Kubernetes: structural schemas of CRDs). */
const plainKeywords = new Set([
  'type',
  'description',
  'default',
  'nullable',
  'enum',
  'format',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'x-kubernetes-validations',
  'x-kubernetes-int-or-string',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
]);

/** Keywords that are translated below. */
const translated = new Set(['properties', 'required', 'items', 'patternProperties', 'additionalProperties', 'anyOf', 'const']);

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * A JSON schema as an OpenAPI v3 structural schema: records become `additionalProperties`, unions of literals an `enum`, a schema that says
 * nothing keeps unknown fields. Throws with the path for anything else that the API server would refuse.
 */
export function structuralSchema(schema: unknown, path: string): { readonly [key: string]: Json } {
  if (!isSchema(schema)) throw new Error(`${path}: not a schema`);
  const out: Record<string, Json> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith('$') || key.startsWith('~') || value === undefined || translated.has(key)) continue;
    if (!plainKeywords.has(key)) throw new Error(`${path}: keyword ${key} cannot be in the schema of a CRD`);
    out[key] = value as Json;
  }
  if (schema['x-kubernetes-int-or-string'] === true) {
    out['anyOf'] = [{ type: 'integer' }, { type: 'string' }];
    return out;
  }
  const literals = literalsOf(schema);
  if (literals) out['enum'] = literals;
  else if (schema['anyOf'] !== undefined)
    throw new Error(`${path}: a union must be of literals; use optional fields and x-kubernetes-validations`);
  if (out['type'] === undefined) {
    const type = typeOfEnum(out['enum']);
    if (type !== undefined) out['type'] = type;
    else if (isSchema(schema['properties']) || isSchema(schema['patternProperties'])) out['type'] = 'object';
    else out['x-kubernetes-preserve-unknown-fields'] = true;
  }
  if (out['type'] === 'object') objectKeywords(schema, path, out);
  if (out['type'] === 'array') out['items'] = structuralSchema(schema['items'], `${path}[]`);
  return out;
}

function objectKeywords(schema: Schema, path: string, out: Record<string, Json>): void {
  const properties = isSchema(schema['properties']) ? Object.entries(schema['properties']) : [];
  const values = isSchema(schema['patternProperties'])
    ? Object.values(schema['patternProperties'])
    : isSchema(schema['additionalProperties'])
      ? [schema['additionalProperties']]
      : [];
  if (values.length > 1) throw new Error(`${path}: a record has one type of values`);
  if (properties.length > 0 && values.length > 0) throw new Error(`${path}: properties and a record exclude each other`);
  if (values.length === 1) out['additionalProperties'] = structuralSchema(values[0], `${path}.*`);
  if (properties.length > 0) {
    out['properties'] = Object.fromEntries(properties.map(([name, value]) => [name, structuralSchema(value, `${path}.${name}`)]));
  }
  const required = schema['required'];
  if (Array.isArray(required) && required.length > 0) out['required'] = [...(required as string[])].sort();
}

/** The values of `const` or of a union of literals. */
function literalsOf(schema: Schema): readonly Json[] | undefined {
  if (schema['const'] !== undefined) return [schema['const'] as Json];
  const anyOf = schema['anyOf'];
  if (!Array.isArray(anyOf) || !anyOf.every((s) => isSchema(s) && s['const'] !== undefined)) return undefined;
  return anyOf.map((s: Schema) => s['const'] as Json);
}

function typeOfEnum(values: unknown): string | undefined {
  if (!Array.isArray(values) || values.length === 0) return undefined;
  if (values.every((v) => typeof v === 'string')) return 'string';
  if (values.every((v) => Number.isInteger(v))) return 'integer';
  return undefined;
}

/** The CustomResourceDefinition of a kind. Throws when its schema is not structural. */
export function customResourceDefinition(resource: CustomResource): { readonly [key: string]: Json } {
  const { group, version, kind, plural } = resource;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: resource.labels },
    spec: {
      group,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(resource.categories.length > 0 && { categories: resource.categories }),
        ...(resource.shortNames && resource.shortNames.length > 0 && { shortNames: resource.shortNames }),
      },
      scope: 'Namespaced',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          ...(resource.printerColumns.length > 0 && { additionalPrinterColumns: resource.printerColumns.map((c) => ({ ...c })) }),
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              description: resource.description,
              type: 'object',
              properties: {
                apiVersion: { type: 'string', description: 'Version of the schema of this object.' },
                kind: { type: 'string', description: 'Kind of this object.' },
                metadata: { type: 'object' },
                spec: structuralSchema(resource.spec, `${kind}.spec`),
                status: structuralSchema(resource.status, `${kind}.status`),
              },
              ...(resource.specRequired !== false && { required: ['spec'] }),
            },
          },
        },
      ],
    },
  };
}

/** The definition as YAML with sorted keys, fit for a Helm template folder. Throws when Helm would read a part of it as a template action. */
export function crdYaml(resource: CustomResource): string {
  const yaml = dump(customResourceDefinition(resource), { sortKeys: true, noRefs: true, lineWidth: 140 });
  if (yaml.includes('{{'))
    throw new Error(`${resource.kind}: {{ in the schema would be a Helm action; write \\{\\{ in patterns, avoid it in texts`);
  return `---\n# Written by src/cmd/generate-crds.ts from the schema in TypeScript: change that one.\n${yaml}`;
}

/** File name of a definition, as controller-gen names it: `<group>_<plural>.yaml`. */
export function crdFileName(resource: CustomResource): string {
  return `${resource.group}_${resource.plural}.yaml`;
}
