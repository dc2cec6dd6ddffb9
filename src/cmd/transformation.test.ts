/** From the text of a policy to what the runtime makes of it: whatever a user writes is a problem of the policy, or runs. */
import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseTransformation } from '../policy/transformation/transformation.ts';
import { programOf } from '../xds/filters/lua/program.ts';
import { runtimeLua } from '../xds/filters/lua/runtime.ts';

const interpreter = ['luajit', 'lua5.1'].find((name) => spawnSync(name, ['-v']).status === 0);

const expression = fc.letrec<{ value: string; simple: string }>((tie) => ({
  simple: fc.constantFrom(
    'a',
    'a.b',
    'a["c"][0]',
    'n',
    '1',
    '2.5',
    '"t\\n"',
    "'é'",
    'true',
    'none',
    '[]',
    'context()',
    'body()',
    'loop.index',
  ),
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    tie('simple'),
    fc
      .tuple(tie('value'), fc.constantFrom('+', '-', '*', '/', '//', '%', '~', '==', '<', 'in', 'and', 'or', 'not in'), tie('value'))
      .map((p) => `(${p.join(' ')})`),
    fc
      .tuple(
        fc.constantFrom(
          'header',
          'request_header',
          'get_cookie',
          'get_cookie_i',
          'base64_encode',
          'base64_decode',
          'base64url_decode',
          'raw_string',
        ),
        tie('value'),
      )
      .map(([f, x]) => `${f}(${x})`),
    fc.tuple(fc.constantFrom('substring', 'replace_with_random'), tie('value'), tie('value')).map(([f, x, y]) => `${f}(${x}, ${y})`),
    fc
      .tuple(
        tie('value'),
        fc.constantFrom(
          'upper',
          'lower',
          'trim',
          'length',
          'tojson',
          'string',
          'first',
          'last',
          'join(",")',
          'default("d")',
          'replace("a", "b")',
        ),
      )
      .map((p) => p.join(' | ')),
    fc.tuple(tie('value'), fc.constantFrom('defined', 'not none', 'mapping', 'sequence')).map((p) => `(${p.join(' is ')})`),
    fc.tuple(tie('value'), tie('value'), tie('value')).map(([a, b, c]) => `(${a} if ${b} else ${c})`),
    tie('value').map((v) => `(not ${v})`),
    tie('value').map((v) => `-${v}`),
  ),
})).value;

const template = fc.letrec<{ t: string }>((tie) => ({
  t: fc.oneof(
    { maxDepth: 3 },
    fc.string(),
    expression.map((e) => `{{ ${e} }}`),
    fc.tuple(expression, tie('t'), tie('t')).map(([e, a, b]) => `{% if ${e} %}${a}{% else %}${b}{% endif %}`),
    fc.tuple(fc.constantFrom('x', 'k, v'), expression, tie('t')).map(([n, e, a]) => `{% for ${n} in ${e} %}${a}{% endfor %}`),
    fc.tuple(expression, tie('t')).map(([e, a]) => `{% set a = ${e} %}${a}`),
    fc.tuple(tie('t'), tie('t')).map((parts) => parts.join('')),
  ),
})).t;

test.runIf(interpreter !== undefined)(
  'a template of any shape is refused by the controller, or runs without an error of the runtime',
  () => {
    const programs = fc.sample(template, { numRuns: 600, seed: 42 }).flatMap((value) => {
      const spec = { request: { set: [{ name: 'x', value }], body: { parseAs: 'AsJson', value } } } as const;
      const parsed = parseTransformation(spec, 'spec');
      return parsed.problems.length === 0 && parsed.value?.request ? [{ value, program: programOf(parsed.value.request) }] : [];
    });
    expect(programs.length).toBeGreaterThan(200);
    const luaString = (text: string): string => `"${[...Buffer.from(text)].map((b) => `\\${String(b).padStart(3, '0')}`).join('')}"`;
    const bodies = ['{"a":{"b":"x","c":[1,2]},"n":12345678901234567890}', '[1,"a",{}]', ''];
    const harness = `
local function run(program, input)
  local body = { length = function() return #input end, getBytes = function() return input end, setBytes = function() end }
  local headers = { get = function() return nil end, getAtIndex = function() return "v" end, replace = function() end, remove = function() end }
  local status, problem = "ok", ""
  envoy_on_request({
    filterContext = function() return { get = function(_, key) return key == "request" and program or nil end } end,
    headers = function() return headers end, body = function() return body end,
    streamInfo = function() return { dynamicMetadata = function() return { set = function() end, get = function() end } end } end,
    respond = function(_, h) status = h[":status"] end, logErr = function(_, text) problem = text end,
  })
  io.write(status, " ", problem:gsub("\\n", " "), "\\n")
end
${programs.flatMap((p) => bodies.map((body) => `run(${luaString(p.program)}, ${luaString(body)})`)).join('\n')}`;
    const { stdout, stderr } = spawnSync(interpreter ?? '', ['-'], {
      input: `${runtimeLua}\n${harness}`,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    expect(stderr).toBe('');
    const outcomes = stdout.split('\n').slice(0, -1);
    expect(outcomes).toHaveLength(programs.length * bodies.length);
    const failed = outcomes.flatMap((line, i) =>
      /^(ok|400|413) $/.test(line) ? [] : [`${line}: ${programs[Math.floor(i / bodies.length)]?.value}`],
    );
    expect(failed).toEqual([]);
    expect(outcomes.filter((line) => line.startsWith('ok')).length).toBeGreaterThan(100);
  },
);
