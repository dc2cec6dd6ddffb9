import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { expect, test } from 'vitest';
import type { OpenApiSchema } from './crd-validation.ts';
import { crdValidator } from './crd-validation.ts';
import type { CustomResourceDefinition } from './types/core.ts';

const spec: OpenApiSchema = {
  type: 'object',
  required: ['rules'],
  properties: {
    hostnames: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string', pattern: '^[a-z.*-]+$', maxLength: 12 } },
    port: { type: 'integer', minimum: 1, maximum: 65535 },
    target: { 'x-kubernetes-int-or-string': true },
    mode: { type: 'string', enum: ['A', 'B'], default: 'A' },
    options: { type: 'object', additionalProperties: { type: 'string' } },
    free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    rules: {
      type: 'array',
      maxItems: 2,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: {
        type: 'object',
        properties: {
          name: { type: 'string' },
          matches: {
            type: 'array',
            default: [{ path: { value: '/' } }],
            items: {
              type: 'object',
              properties: {
                path: {
                  type: 'object',
                  properties: { type: { type: 'string', default: 'PathPrefix' }, value: { type: 'string', default: '/' } },
                },
              },
            },
          },
        },
      },
    },
  },
};
const crd: CustomResourceDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.example.com' },
  spec: {
    group: 'example.com',
    names: { kind: 'Thing', plural: 'things' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', required: ['spec'], properties: { spec, status: {} } } },
      },
    ],
  },
};
const validate = crdValidator([crd]);
const thing = (s: unknown) => ({ apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'a' }, spec: s });

test('defaults are filled in, in arrays and inside other defaults', () => {
  const o = thing({ rules: [{ name: 'r' }, { name: 's', matches: [{ path: {} }] }] });
  expect(validate(o)).toEqual([]);
  expect(o.spec).toEqual({
    mode: 'A',
    rules: [
      { name: 'r', matches: [{ path: { type: 'PathPrefix', value: '/' } }] },
      { name: 's', matches: [{ path: { type: 'PathPrefix', value: '/' } }] },
    ],
  });
  const rules = (t: { spec: unknown }) => (t.spec as { rules: { matches?: unknown }[] }).rules;
  const other = thing({ rules: [{ name: 'r' }] });
  validate(other);
  expect(rules(other)[0]?.matches).not.toBe(rules(o)[0]?.matches);
});

test.each<[string, unknown, string]>([
  ['unknown field', { rules: [], hostname: [] }, 'spec.hostname: unknown field, did you mean hostnames?'],
  ['unknown field in a list', { rules: [{ name: 'a', zzz: 1 }] }, 'spec.rules[0].zzz: unknown field'],
  ['wrong type', { rules: [], port: '80' }, 'spec.port: must be an integer, not the string "80"'],
  ['not an array', { rules: {} }, 'spec.rules: must be an array, not an object'],
  ['range', { rules: [], port: 70000 }, 'spec.port: must be at most 65535'],
  ['enum', { rules: [], mode: 'C' }, 'spec.mode: "C" is not one of "A", "B"'],
  ['required', {}, 'spec.rules: is required'],
  ['pattern', { rules: [], hostnames: ['A_B'] }, 'spec.hostnames[0]: "A_B" does not match ^[a-z.*-]+$'],
  ['length', { rules: [], hostnames: ['a.example.com'] }, 'spec.hostnames[0]: must have at most 12 characters'],
  ['set', { rules: [], hostnames: ['a', 'a'] }, 'spec.hostnames[1]: the same value is there twice: "a"'],
  ['map list', { rules: [{ name: 'a' }, { name: 'a' }] }, 'spec.rules[1]: the same name is there twice: ["a"]'],
  ['map values', { rules: [], options: { a: 1 } }, 'spec.options.a: must be a string, not the number 1'],
  ['int or string', { rules: [], target: true }, 'spec.target: must be an integer or a string, not the boolean true'],
  ['null', { rules: [], port: null }, 'spec.port: is null: leave the field out or give it a value'],
])('%s', (_, s, problem) => {
  expect(validate(thing(s))).toEqual([problem]);
});

test('free fields, other kinds and unserved versions', () => {
  expect(validate(thing({ rules: [], free: { any: { thing: 1 } } }))).toEqual([]);
  expect(validate({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' } })).toEqual([]);
  expect(validate({ apiVersion: 'example.com/v2', kind: 'Thing', metadata: { name: 'a' }, spec: {} })).toEqual([
    'apiVersion: Thing has no version v2: use example.com/v1',
  ]);
  expect(validate({ apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 'a' } })).toEqual(['spec: is required']);
});

test('the Gateway API: what an HTTPRoute gets, and what it is refused for', () => {
  const file = join(import.meta.dirname, '../../manifests/gateway-api/gateway.networking.k8s.io_httproutes.yaml');
  const check = crdValidator([load(readFileSync(file, 'utf8')) as CustomResourceDefinition]);
  const route = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: 'a' },
    spec: { parentRefs: [{ name: 'gw' }], rules: [{ backendRefs: [{ name: 's', port: 80 }] }] },
  };
  expect(check(route)).toEqual([]);
  expect(route.spec).toEqual({
    parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'gw' }],
    rules: [
      {
        matches: [{ path: { type: 'PathPrefix', value: '/' } }],
        backendRefs: [{ group: '', kind: 'Service', name: 's', port: 80, weight: 1 }],
      },
    ],
  });
  const wrong = {
    ...route,
    apiVersion: 'gateway.networking.k8s.io/v1beta1',
    spec: { hostname: 'x', rules: [{ timeouts: { request: '10' } }] },
  };
  expect(check(wrong)).toEqual([
    'spec.rules[0].timeouts.request: "10" does not match ^([0-9]{1,5}(h|m|s|ms)){1,4}$',
    'spec.hostname: unknown field, did you mean hostnames?',
  ]);
});
