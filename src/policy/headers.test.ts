import { expect, test } from 'vitest';
import { headerModifier, headerNameProblem } from './headers.ts';

test.each([
  ['x-a', undefined],
  ["!#$%&'*+-.^_`|~09azAZ", undefined],
  ['Host', 'URLRewrite filter with hostname'],
  ['HOST', 'URLRewrite filter with hostname'],
  [':path', 'pseudo-header'],
  [':authority', 'pseudo-header'],
  ['', 'invalid header name'],
  ['a b', 'invalid header name'],
  ['a:b', 'invalid header name'],
  ['ä', 'invalid header name'],
])('name %j', (name, problem) => {
  if (problem === undefined) expect(headerNameProblem(name)).toBeUndefined();
  else expect(headerNameProblem(name)).toContain(problem);
});

test.each([
  ['plain', true],
  ['two words', true],
  ['a\tb', true],
  ['%DOWNSTREAM_REMOTE_ADDRESS%', true],
  ['%REQ(:path)% and %REQ(x?y):10%', true],
  ['100%%', true],
  ['100%', false],
  ['%nope%', false],
  ['', false],
  [' lead', false],
  ['two  spaces', false],
  ['line\nbreak', false],
  ['ü', false],
  ['x'.repeat(4097), false],
])('value %j', (value, valid) => {
  const { problems } = headerModifier({ set: [{ name: 'a', value }] }, 'spec.request');
  expect(problems.map((p) => p.field)).toEqual(valid ? [] : ['spec.request.set[0].value']);
});

test('Host may be set where it is the host of a request, and has to be one', () => {
  const set = [
    { name: 'Host', value: 'a\nb' },
    { name: 'Host', value: 'a.example.com' },
  ];
  const { value, problems } = headerModifier({ set, add: set.slice(1) }, 'f', { host: true });
  expect(value).toMatchObject({ set: [{ name: 'Host', value: 'a.example.com' }], add: [] });
  expect(problems.map((p) => p.field)).toEqual(['f.set[0].value', 'f.add[0].name']);
});

test('a bad entry is named and left out, the others stay', () => {
  const spec = { set: [{ name: 'host', value: 'a' }], add: [{ name: 'x-a', value: 'b' }], remove: ['x-b', ':method'] };
  const { value, problems } = headerModifier(spec, 'f');
  expect(value).toEqual({ set: [], add: [{ name: 'x-a', value: 'b' }], remove: ['x-b'] });
  expect(problems.map((p) => p.field)).toEqual(['f.set[0].name', 'f.remove[1]']);
});
