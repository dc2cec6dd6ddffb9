import { describe, expect, test } from 'vitest';
import type { TransformationSpec } from './schema.ts';
import { parseTransformation } from './transformation.ts';

const parse = (spec: TransformationSpec) => parseTransformation(spec, 'spec.transformation');

test('what templates use of a message', () => {
  const { value, problems } = parse({
    request: { set: [{ name: 'X-A', value: '{{ header("x") }}' }], remove: ['X-B'] },
    response: { add: [{ name: 'x', value: '{{ request_header("X-In") }}{{ get_cookie("c") }}' }], body: { value: '{{ body() }}' } },
  });
  expect(problems).toEqual([]);
  expect(value?.request).toMatchObject({ set: [{ name: 'x-a' }], remove: ['x-b'], parseAs: 'text', buffered: false, requestHeaders: [] });
  expect(value?.response).toMatchObject({ add: [{ name: 'x' }], buffered: true, requestHeaders: ['cookie', 'x-in'] });
});

test.each<[string, NonNullable<TransformationSpec['request']>, boolean]>([
  ['headers', { set: [{ name: 'a', value: '{{ header("x") }}' }] }, false],
  ['a new body', { body: { value: 'x' } }, true],
  ['the old body', { set: [{ name: 'a', value: '{{ body() | length }}' }] }, true],
  ['a field of the body', { set: [{ name: 'a', value: '{{ x }}' }], body: { parseAs: 'AsJson' } }, true],
  ['a check of the body', { body: { parseAs: 'AsJson' } }, true],
  ['a local variable', { set: [{ name: 'a', value: '{% set x = 1 %}{{ x }}' }] }, false],
  ['None', { set: [{ name: 'a', value: '{{ body() }}' }], body: { parseAs: 'None' } }, false],
])('the body is read whole or not: %s', (_name, request, buffered) => {
  expect(parse({ request })).toMatchObject({ value: { request: { buffered } }, problems: [] });
});

test('nothing to do is no transformation', () => {
  for (const spec of [{}, { request: {} }, { response: { body: { parseAs: 'None' } } }] satisfies TransformationSpec[]) {
    expect(parse(spec)).toEqual({ problems: [] });
  }
});

describe('problems name the field and the remedy', () => {
  const set = (name: string, value = 'x') => ({ set: [{ name, value }] });
  test.each<[TransformationSpec, string, string]>([
    [{ request: set('a', '{{ nope() }}') }, 'request.set[0].value', 'unknown function "nope"'],
    [
      { request: set('a', '{{ nope }}') },
      'request.set[0].value',
      'unknown variable "nope"; fields of the body are variables with body.parseAs',
    ],
    [{ request: set('a', '{{ body }}') }, 'request.set[0].value', 'it is a function: write body(…)'],
    [{ request: set('a', '{% for x in [1] %}{% endfor %}{{ x }}') }, 'request.set[0].value', 'unknown variable "x"'],
    [{ request: set('a', '{{ loop.index }}') }, 'request.set[0].value', 'within {% for %}'],
    [{ request: set('a', '{% for x in [1] %}{{ loop.nope }}{% endfor %}') }, 'request.set[0].value', 'loop has only index'],
    [{ request: set('a', '{{ context() }}') }, 'request.set[0].value', 'context() needs body.parseAs: AsJson'],
    [{ request: { add: [{ name: 'a', value: '{{' }] } }, 'request.add[0].value', 'close it with }}'],
    [{ response: { body: { value: '{% if %}' } } }, 'response.body.value', 'expected a value'],
    [{ request: { body: { parseAs: 'None', value: 'x' } } }, 'request.body.value', 'use AsString'],
    [{ request: set(':status') }, 'request.set[0].name', ':path, :method, :authority can'],
    [{ response: set(':path') }, 'response.set[0].name', ':status can'],
    [{ request: set(':scheme') }, 'request.set[0].name', 'cannot be set'],
    [{ request: { add: [{ name: ':path', value: '/' }] } }, 'request.add[0].name', 'use set'],
    [{ request: { add: [{ name: 'Host', value: 'a' }] } }, 'request.add[0].name', 'use set'],
    [{ request: { remove: ['host'] } }, 'request.remove[0]', 'cannot be removed'],
    [{ request: set('content-length', '5') }, 'request.set[0].name', 'written by the gateway'],
    [{ request: set('Transfer-Encoding') }, 'request.set[0].name', 'written by the gateway'],
    [{ request: set('x-kgateway-scope') }, 'request.set[0].name', "gateway's own"],
    [{ request: { remove: ['X-Kgateway-Scope'] } }, 'request.remove[0]', "gateway's own"],
    [{ request: set('a b') }, 'request.set[0].name', 'invalid header name'],
    [{ request: set('a', 'x'.repeat(20_000)) }, 'request.set[0].value', 'at most 16384'],
    [
      { request: { dynamicMetadata: [{ namespace: 'a', key: 'b', value: { stringValue: '{{ x }}' } }] } },
      'request.dynamicMetadata[0].value.stringValue',
      'unknown variable',
    ],
    [
      { request: { dynamicMetadata: [{ namespace: 'dev.kgateway.transformation', key: 'b', value: { stringValue: 'x' } }] } },
      'request.dynamicMetadata[0].namespace',
      "gateway's own",
    ],
    [{ request: { dynamicMetadata: [{ namespace: 'a', key: 'b', value: {} }] } }, 'request.dynamicMetadata[0].value', 'must be set'],
  ])('%j', (spec, field, message) => {
    const { problems } = parse(spec);
    expect(problems.map((p) => p.field)).toEqual([`spec.transformation.${field}`]);
    expect(problems[0]?.message).toContain(message);
  });
});

test('host is :authority, of requests', () => {
  expect(parse({ request: { set: [{ name: 'Host', value: 'a' }] } }).value?.request?.set[0]?.name).toBe(':authority');
});
