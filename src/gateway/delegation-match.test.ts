import { describe, expect, test } from 'vitest';
import type { HttpMatch, PathMatch } from '../ir/route.ts';
import { matchesWithin } from './delegation-match.ts';

const path = (type: PathMatch['type'], value: string): PathMatch => ({ type, value });
const at = (p: PathMatch, more: Partial<HttpMatch> = {}): HttpMatch => ({ path: p, headers: [], queryParams: [], ...more });
const named = (name: string, value: string) => ({ name, value: { type: 'exact' as const, value } });
const team = at(path('prefix', '/team'));

describe('a path is within the prefix of the parent', () => {
  test.each<[PathMatch, boolean]>([
    [path('prefix', '/team'), true],
    [path('prefix', '/team/a'), true],
    [path('exact', '/team/'), true],
    [path('exact', '/team'), true],
    [path('prefix', '/teams'), false],
    [path('exact', '/teams/a'), false],
    [path('prefix', '/'), false],
    [path('regex', '/other/.*'), false],
  ])('%j: %s', (own, fits) => {
    expect(matchesWithin([team], [at(own)], false)).toEqual(fits ? [at(own)] : []);
  });

  test('everything is within /', () => {
    expect(matchesWithin([at(path('prefix', '/'))], [at(path('regex', '.*'))], false)).toEqual([at(path('regex', '.*'))]);
  });

  test('an expression is held to the prefix by the proxy, whatever else it may match', () => {
    const dotted = at(path('prefix', '/v1.0'));
    expect(matchesWithin([team], [at(path('regex', '/team/|/admin'))], false)[0]?.path).toEqual({
      type: 'regex',
      value: '/team/|/admin',
      below: '/team',
    });
    expect(matchesWithin([dotted], [at(path('regex', String.raw`/v1\.0/x+`))], false)[0]?.path).toMatchObject({ below: '/v1.0' });
  });

  test('on a longer way the longest prefix holds', () => {
    const regex = matchesWithin([team], [at({ ...path('regex', '/team/a/.*'), below: '/team/a' } as PathMatch)], false);
    expect(regex[0]?.path).toMatchObject({ below: '/team/a' });
  });
});

test.each(['exact', 'regex'] as const)('a parent that matches by %s path delegates nothing', (type) => {
  expect(matchesWithin([at(path(type, '/team'))], [team], false)).toEqual([]);
  expect(matchesWithin([at(path(type, '/team'))], [team], true)).toEqual([]);
});

describe('what else the parent asks for', () => {
  const parent = at(path('prefix', '/'), { method: 'GET', headers: [named('a', '1')], queryParams: [named('q', '1')] });

  test('has to be repeated, and more may be asked', () => {
    const fits = at(path('prefix', '/x'), { ...parent, path: path('prefix', '/x'), headers: [named('b', '2'), named('a', '1')] });
    expect(matchesWithin([parent], [fits], false)).toEqual([fits]);
    for (const wrong of [{ method: 'POST' }, { headers: [named('a', '2')] }, { headers: [] }, { queryParams: [] }]) {
      expect(matchesWithin([parent], [{ ...fits, ...wrong }], false)).toEqual([]);
    }
    const { method: _, ...anyMethod } = fits;
    expect(matchesWithin([parent], [anyMethod], false)).toEqual([]);
  });

  test('is inherited on demand, and the parent wins', () => {
    const own = at(path('prefix', '/x'), { method: 'POST', headers: [named('a', '2'), named('b', '2')], queryParams: [named('p', '1')] });
    expect(matchesWithin([parent], [own], true)).toEqual([
      at(path('prefix', '/x'), {
        method: 'GET',
        headers: [named('a', '1'), named('b', '2')],
        queryParams: [named('q', '1'), named('p', '1')],
      }),
    ]);
  });
});

describe('inherited paths are relative', () => {
  test.each<[PathMatch, PathMatch]>([
    [path('prefix', '/'), path('prefix', '/team')],
    [path('exact', '/'), path('exact', '/team')],
    [path('prefix', '/a'), path('prefix', '/team/a')],
    [path('exact', '/a/'), path('exact', '/team/a/')],
    [path('regex', '/a|/b'), { type: 'regex', value: '/team(?:/a|/b)', below: '/team' }],
    [path('regex', '^/a$'), { type: 'regex', value: '/team(?:/a)', below: '/team' }],
    [path('regex', String.raw`a\$`), { type: 'regex', value: String.raw`/team/(?:a\$)`, below: '/team' }],
  ])('%j becomes %j', (own, joined) => {
    expect(matchesWithin([team], [at(own)], true)).toEqual([at(joined)]);
  });

  test('once for each match of the parent', () => {
    const paths = matchesWithin([team, at(path('prefix', '/crew'))], [at(path('prefix', '/a'))], true).map((m) => m.path.value);
    expect(paths).toEqual(['/team/a', '/crew/a']);
  });
});

test('a match within several of the parent is one', () => {
  const deep = at(path('prefix', '/team/a/b'));
  expect(matchesWithin([team, at(path('prefix', '/team/a'))], [deep], false)).toEqual([deep]);
});
