import { expect, test } from 'vitest';
import { corsOrigin, corsPolicy } from './cors.ts';

test.each([
  ['*', { kind: 'any' }],
  ['https://a.example.com', { kind: 'exact', origin: 'https://a.example.com' }],
  ['http://localhost:8080', { kind: 'exact', origin: 'http://localhost:8080' }],
  ['https://*.example.com', { kind: 'wildcard', scheme: 'https', suffix: '.example.com' }],
  ['http://*.example.com:8080', { kind: 'wildcard', scheme: 'http', suffix: '.example.com', port: 8080 }],
  ['https://*', { kind: 'wildcard', scheme: 'https', suffix: '' }],
  ['https://*:8443', { kind: 'wildcard', scheme: 'https', suffix: '', port: 8443 }],
])('origin %s', (text, want) => {
  expect(corsOrigin(text)).toEqual(want);
});

test.each([
  '',
  'example.com',
  'ftp://a.b',
  'https://',
  'https://a.*.b',
  'https://a*',
  'https://a.b/path',
  'https://a.b:0',
  'https://a.b:70000',
  '**',
])('%j is no origin', (text) => {
  expect(corsOrigin(text)).toBeUndefined();
});

test('defaults', () => {
  expect(corsPolicy({}, 'cors')).toEqual({
    value: { allowOrigins: [], allowMethods: [], allowHeaders: [], exposeHeaders: [], allowCredentials: false, maxAgeSeconds: 5 },
    problems: [],
  });
});

test.each([
  [{ allowOrigins: ['*', 'https://a.b'] }, 'cors.allowOrigins', 'alongside other origins'],
  [{ allowOrigins: ['https://a.b', 'nope'] }, 'cors.allowOrigins[1]', 'invalid origin "nope"'],
  [{ allowMethods: ['*', 'GET'] }, 'cors.allowMethods', 'alongside other methods'],
  [{ allowMethods: ['get'] }, 'cors.allowMethods[0]', 'unknown method "get"'],
  [{ allowHeaders: ['*', 'x-a'] }, 'cors.allowHeaders', 'alongside other headers'],
  [{ exposeHeaders: ['x a'] }, 'cors.exposeHeaders[0]', 'invalid header name'],
  [{ maxAge: 0 }, 'cors.maxAge', 'seconds'],
])('%j', (spec, field, message) => {
  const { problems } = corsPolicy(spec, 'cors');
  expect(problems).toHaveLength(1);
  expect(problems[0]?.field).toBe(field);
  expect(problems[0]?.message).toContain(message);
});
