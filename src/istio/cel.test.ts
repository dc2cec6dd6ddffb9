import { expect, test } from 'vitest';
import { celProblem } from './cel.ts';

test.each([
  'response.code >= 400',
  "request.headers['x-debug'] == 'on' || response.code in [500, 503]",
  '!(request.url_path.startsWith("/healthz"))',
  'has(request.headers.x_a) && size(request.path) > 3 ? true : false',
  "request.method.matches('^(GET|PUT)$')",
  String.raw`request.path.matches('^/a\\d+\\(x\\)$')`,
  "xds.cluster_name.contains('echo') && -connection.requested_server_name.size != 1",
  'true ? 1 : false ? 2 : 3',
  '!!(true ? true : false) && --1 == 1',
  `1${' + 1'.repeat(25)} == 26`,
  Array.from({ length: 500 }, () => "request.headers['a'] == 'b'").join(' || '),
])('%s', (text) => {
  expect(celProblem(text)).toBeUndefined();
});

test.each([
  ['', 'ends too early'],
  ['response.code >=', 'ends too early'],
  ['response.code 400', 'left over: 400'],
  ['response.code == `x`', 'cannot be read'],
  ['node.id == "x"', 'where one of request'],
  ['request.path.foo("x")', 'calls foo'],
  ["request.path.matches('(?=x)')", 'regular expression'],
  ['(response.code', 'ends too early'],
  ["request.headers['a' == 'b')", 'where ] should be'],
  ["has(request.headers['a'])", 'where ) should be'],
  ["request.path == '\\q'", 'cannot be read'],
  ['('.repeat(100), 'nested too deeply'],
  // What follows is not in the grammar of CEL.
  ['!-response.code', 'has -, where'],
  ['true ? true ? 1 : 2 : 3', 'where : should be'],
  ['request.in == 1', 'after a dot'],
  // Envoy builds no deeper tree than 32.
  [`1${' + 1'.repeat(40)} == 41`, 'nested too deeply'],
  [`request${'.a'.repeat(40)} == 1`, 'nested too deeply'],
  [`${'true ? 1 : '.repeat(40)}2 == 2`, 'nested too deeply'],
  ['response.code == 9223372036854775808', 'too large'],
  ['true || '.repeat(20_000), 'has more than 100000 characters'],
])('%s: %s', (text, problem) => {
  expect(celProblem(text)).toContain(problem);
});
