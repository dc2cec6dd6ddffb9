import { expect, test } from 'vitest';
import { redirectStatusAnnotation, routeAnnotations, routeWeightAnnotation } from './route-annotations.ts';

function read(annotations: Record<string, string>) {
  const { weight, redirectStatus, problems } = routeAnnotations({ metadata: { name: 'r', annotations }, apiVersion: '', kind: '' }, [
    { name: 'a' },
    {},
    { name: 'b' },
  ]);
  return { weight, redirectStatus: [...redirectStatus], problems: problems.map((p) => p.message) };
}

test('nothing said', () => {
  expect(read({})).toEqual({ weight: 0, redirectStatus: [], problems: [] });
});

test.each([
  ['10', 10],
  ['-3', -3],
  ['0', 0],
])('weight %s', (text, weight) => {
  expect(read({ [routeWeightAnnotation]: text })).toMatchObject({ weight, problems: [] });
});

test.each(['', 'high', '1.5', '99999999999', '4294967296'])('weight %j is ignored and said', (text) => {
  expect(read({ [routeWeightAnnotation]: text })).toMatchObject({ weight: 0, problems: [expect.stringContaining('whole number')] });
});

test.each([
  ['307', [[undefined, 307]]],
  ['a=301', [['a', 301]]],
  [
    ' a=301 , b = 308 ',
    [
      ['a', 301],
      ['b', 308],
    ],
  ],
  [
    '303,b=308',
    [
      [undefined, 303],
      ['b', 308],
    ],
  ],
])('redirects %j', (text, redirectStatus) => {
  expect(read({ [redirectStatusAnnotation]: text })).toMatchObject({ redirectStatus, problems: [] });
});

test.each([
  ['', 'no status code'],
  ['200', 'no status code'],
  ['a=', 'no status code'],
  ['c=301', 'no rule is named "c"'],
])('redirects %j are ignored and said', (text, why) => {
  expect(read({ [redirectStatusAnnotation]: text })).toMatchObject({ redirectStatus: [], problems: [expect.stringContaining(why)] });
});

test('what can be read of several holds', () => {
  expect(read({ [redirectStatusAnnotation]: 'a=301,b=1' })).toMatchObject({ redirectStatus: [['a', 301]], problems: [expect.anything()] });
});
