import { describe, expect, test } from 'vitest';
import { httpMatch, regexProblem } from './httproute-match.ts';

test('an empty match is every path', () => {
  expect(httpMatch({}, 'm')).toEqual({ match: { path: { type: 'prefix', value: '/' }, headers: [], queryParams: [] }, problems: [] });
});

test.each([
  ['/', '/'],
  ['/abc', '/abc'],
  ['/abc/', '/abc'],
  ['/abc/def/', '/abc/def'],
])('a trailing slash of the prefix %s says nothing', (value, expected) => {
  expect(httpMatch({ path: { type: 'PathPrefix', value } }, 'm').match.path).toEqual({ type: 'prefix', value: expected });
  expect(httpMatch({ path: { type: 'Exact', value } }, 'm').match.path).toEqual({ type: 'exact', value });
});

test('of a header that stands twice, in any case, the first entry counts; query parameters tell case apart', () => {
  const headers = [
    { name: 'X-A', value: '1' },
    { name: 'x-a', value: '2' },
  ];
  const { match } = httpMatch({ headers, queryParams: headers }, 'm');
  expect(match.headers).toEqual([{ name: 'x-a', value: { type: 'exact', value: '1' } }]);
  expect(match.queryParams.map((q) => q.name)).toEqual(['X-A', 'x-a']);
});

test('problems name the field', () => {
  const { problems } = httpMatch(
    {
      path: { type: 'RegularExpression', value: '(' },
      headers: [
        { name: 'ok', value: 'x' },
        { name: 'bad', type: 'RegularExpression', value: '(?=x)' },
      ],
      queryParams: [{ name: 'bad', type: 'RegularExpression', value: '*' }],
    },
    'spec.rules[0].matches[1]',
  );
  expect(problems.map((p) => p.field)).toEqual([
    'spec.rules[0].matches[1].path.value',
    'spec.rules[0].matches[1].headers[1].value',
    'spec.rules[0].matches[1].queryParams[0].value',
  ]);
});

describe('regular expressions', () => {
  test.each(['/a/.*', String.raw`^/\d+$`, '(?i)/x', String.raw`\p{Greek}`, 'a{1,1000}', '(?P<name>x)', '[[:alpha:]]'])(
    'RE2 accepts %s',
    (text) => {
      expect(regexProblem(text)).toBeUndefined();
    },
  );

  test.each(['(?=x)', '(?<!x)y', String.raw`(a)\1`, 'a{1,1001}', '[', '(', '*', String.raw`\8`, 'a**'])('RE2 refuses %s', (text) => {
    expect(regexProblem(text)).toMatch(/not a regular expression that RE2 accepts/);
  });
});
