// [CRD] -> [object] -> problems and defaults, as the API server's structural schemas say. For objects that never meet an API server: the YAML folder.
// Rules in CEL (x-kubernetes-validations) are left to a real API server. Source: Kubernetes, "Extend the API with CRDs", structural schemas.
import type { CustomResourceDefinition } from './types/core.ts';
import { groupOf } from './types/meta.ts';
import { nearest } from './nearest.ts';

/** The part of OpenAPI v3 that structural schemas of CRDs use. */
export interface OpenApiSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly additionalProperties?: OpenApiSchema | boolean;
  readonly items?: OpenApiSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
}

/** Checks an object and fills in defaults, in place. Returns the problems, each naming its field; none for kinds without a CRD. */
export type Validator = (object: unknown) => readonly string[];

type Json = Record<string, unknown>;

/** A validator for the served versions of these CRDs. */
export function crdValidator(crds: readonly CustomResourceDefinition[]): Validator {
  const schemas = new Map<string, OpenApiSchema>();
  const served = new Map<string, string[]>();
  for (const crd of crds) {
    for (const v of crd.spec.versions) {
      const kind = `${crd.spec.group}/${crd.spec.names.kind}`;
      const schema: OpenApiSchema | undefined = v.schema?.openAPIV3Schema;
      if (!v.served || !schema) continue;
      schemas.set(`${kind}/${v.name}`, schema);
      served.set(kind, [...(served.get(kind) ?? []), v.name]);
    }
  }
  const patterns = new Map<string, RegExp | undefined>();

  return (object) => {
    const { apiVersion, kind } = object as Json;
    if (typeof apiVersion !== 'string' || typeof kind !== 'string') return [];
    const version = apiVersion.slice(apiVersion.indexOf('/') + 1);
    const versions = served.get(`${groupOf(apiVersion)}/${kind}`);
    if (!versions) return [];
    const schema = schemas.get(`${groupOf(apiVersion)}/${kind}/${version}`);
    if (!schema)
      return [`apiVersion: ${kind} has no version ${version}: use ${versions.map((v) => `${groupOf(apiVersion)}/${v}`).join(' or ')}`];
    const problems: string[] = [];
    for (const [field, s] of Object.entries(schema.properties ?? {})) {
      // The metadata of a CRD's schema is empty: the API server has its own. A status is ours to write.
      if (field === 'metadata' || field === 'apiVersion' || field === 'kind' || field === 'status') continue;
      const top = object as Json;
      if (top[field] === undefined && s.default !== undefined) top[field] = structuredClone(s.default);
      if (top[field] !== undefined) check(s, top[field], field, { problems, patterns });
    }
    const known = [...Object.keys(schema.properties ?? {}), 'apiVersion', 'kind', 'metadata'];
    for (const field of schema.required ?? []) if ((object as Json)[field] === undefined) problems.push(`${field}: is required`);
    for (const field of Object.keys(object as Json)) if (!known.includes(field)) problems.push(unknownField(field, known, ''));
    return problems;
  };
}

interface Run {
  readonly problems: string[];
  readonly patterns: Map<string, RegExp | undefined>;
}

function check(s: OpenApiSchema, value: unknown, path: string, run: Run): void {
  const { problems } = run;
  if (value === null) {
    if (!s.nullable) problems.push(`${path}: is null: leave the field out or give it a value`);
    return;
  }
  if (s['x-kubernetes-int-or-string']) {
    if (typeof value !== 'string' && !Number.isInteger(value))
      problems.push(`${path}: must be an integer or a string, not ${describe(value)}`);
    return;
  }
  if (s.type !== undefined && !hasType(s.type, value)) {
    problems.push(`${path}: must be ${article(s.type)}, not ${describe(value)}`);
    return;
  }
  if (s.enum && !s.enum.includes(value)) {
    problems.push(`${path}: ${JSON.stringify(value)} is not one of ${s.enum.map((v) => JSON.stringify(v)).join(', ')}`);
  }
  if (typeof value === 'string') checkString(s, value, path, run);
  else if (typeof value === 'number') {
    if (s.minimum !== undefined && value < s.minimum) problems.push(`${path}: must be at least ${s.minimum}`);
    if (s.maximum !== undefined && value > s.maximum) problems.push(`${path}: must be at most ${s.maximum}`);
  } else if (Array.isArray(value)) checkArray(s, value, path, run);
  else if (typeof value === 'object') checkObject(s, value as Json, path, run);
}

function checkString(s: OpenApiSchema, value: string, path: string, { problems, patterns }: Run): void {
  if (s.minLength !== undefined && value.length < s.minLength) problems.push(`${path}: must have at least ${s.minLength} characters`);
  if (s.maxLength !== undefined && value.length > s.maxLength) problems.push(`${path}: must have at most ${s.maxLength} characters`);
  if (s.pattern === undefined) return;
  if (!patterns.has(s.pattern)) patterns.set(s.pattern, compile(s.pattern));
  if (patterns.get(s.pattern)?.test(value) === false) problems.push(`${path}: ${JSON.stringify(value)} does not match ${s.pattern}`);
}

function checkArray(s: OpenApiSchema, value: readonly unknown[], path: string, run: Run): void {
  const { problems } = run;
  if (s.minItems !== undefined && value.length < s.minItems) problems.push(`${path}: must have at least ${s.minItems} items`);
  if (s.maxItems !== undefined && value.length > s.maxItems) problems.push(`${path}: must have at most ${s.maxItems} items`);
  const { items } = s;
  if (items) value.forEach((item, i) => check(items, item, `${path}[${i}]`, run));
  const keys = s['x-kubernetes-list-type'] === 'map' ? s['x-kubernetes-list-map-keys'] : undefined;
  if (!keys && s['x-kubernetes-list-type'] !== 'set') return;
  const seen = new Set<string>();
  value.forEach((item, i) => {
    const identity = JSON.stringify(keys ? keys.map((key) => (item as Json | null)?.[key]) : item);
    if (seen.has(identity)) problems.push(`${path}[${i}]: the same ${keys?.join(' and ') ?? 'value'} is there twice: ${identity}`);
    seen.add(identity);
  });
}

function checkObject(s: OpenApiSchema, value: Json, path: string, run: Run): void {
  const { problems } = run;
  const count = Object.keys(value).length;
  if (s.minProperties !== undefined && count < s.minProperties) problems.push(`${path}: must have at least ${s.minProperties} fields`);
  if (s.maxProperties !== undefined && count > s.maxProperties) problems.push(`${path}: must have at most ${s.maxProperties} fields`);
  for (const [name, field] of Object.entries(s.properties ?? {})) {
    // Defaults come from the outside in: a default may itself be completed by the defaults of its fields. A null counts as absent.
    if (field.default !== undefined && (value[name] === undefined || (value[name] === null && !field.nullable))) {
      value[name] = structuredClone(field.default);
    }
    if (value[name] !== undefined) check(field, value[name], `${path}.${name}`, run);
  }
  for (const name of s.required ?? []) if (value[name] === undefined) problems.push(`${path}.${name}: is required`);
  if (typeof s.additionalProperties === 'object') {
    for (const [name, item] of Object.entries(value))
      if (!s.properties?.[name]) check(s.additionalProperties, item, `${path}.${name}`, run);
  } else if (!s.additionalProperties && !s['x-kubernetes-preserve-unknown-fields'] && s.properties) {
    const known = Object.keys(s.properties);
    for (const name of Object.keys(value)) if (!Object.hasOwn(s.properties, name)) problems.push(unknownField(name, known, `${path}.`));
  }
}

function unknownField(name: string, known: readonly string[], prefix: string): string {
  const guess = nearest(name, known);
  return `${prefix}${name}: unknown field${guess === undefined ? '' : `, did you mean ${guess}?`}`;
}

/** Go's RE2 syntax is nearly a subset of ours; a pattern that is not is left to the API server. */
function compile(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, 'u');
  } catch {
    return undefined;
  }
}

function hasType(type: NonNullable<OpenApiSchema['type']>, value: unknown): boolean {
  switch (type) {
    case 'object':
      return typeof value === 'object' && !Array.isArray(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** What a YAML author sees: `the string "80"`. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  return `the ${typeof value} ${JSON.stringify(value).slice(0, 60)}`;
}
