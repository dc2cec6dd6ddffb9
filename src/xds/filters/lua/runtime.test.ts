import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { limits, type Expression, type MessageTransformation, type Template } from '../../../ir/transformation.ts';
import { programOf } from './program.ts';
import { runtimeLua } from './runtime.ts';

const message: MessageTransformation = { set: [], add: [], remove: [], parseAs: 'text', buffered: true, metadata: [], requestHeaders: [] };
const print = (value: Expression): Template => [{ type: 'print', value }];

test('a program holds text of the user in strings of JSON alone', () => {
  const hostile = `]] os.exit() --[[ "\\ \u2028 %REQ(x)%`;
  const program = programOf({ ...message, body: [{ type: 'text', text: hostile }, ...print({ type: 'literal', value: hostile })] });
  expect(JSON.parse(program)).toMatchObject({ body: [hostile, ['p', ['l', hostile]]] });
});

test('the runtime uses nothing of Lua that reaches out but the environment and randomness', () => {
  for (const word of ['load', 'loadstring', 'require', 'dofile', 'setmetatable', 'rawget', 'debug', 'ffi', 'package', '_G', 'getfenv']) {
    expect(runtimeLua).not.toMatch(new RegExp(`\\b${word}\\b`));
  }
  expect(runtimeLua.match(/\b(?:os|io)\.\w+/g)).toEqual(['os.getenv', 'io.open']);
  expect(runtimeLua.length).toBeLessThan(40_000);
});

const interpreter = ['luajit', 'lua5.1'].find((name) => spawnSync(name, ['-v']).status === 0);

/** Renders `template` over each body, as Envoy would have it done, without Envoy: a status, or `ok:` and the new body. */
function render(template: Template, bodies: readonly string[], parseAs: 'json' | 'text' = 'json'): readonly string[] {
  const luaString = (text: string): string => `"${[...Buffer.from(text)].map((b) => `\\${String(b).padStart(3, '0')}`).join('')}"`;
  const harness = `
local PROGRAM = ${luaString(programOf({ ...message, parseAs, body: template }))}
local function run(input)
  local output
  local body = { length = function() return #input end, getBytes = function() return input end, setBytes = function(_, text) output = text end }
  local headers = { get = function(_, name) return name == ":method" and "POST" or nil end, getAtIndex = function() return nil end }
  local metadata = { set = function() end, get = function() return nil end }
  local info = { dynamicMetadata = function() return metadata end }
  local context = { get = function(_, key) return key == "request" and PROGRAM or nil end }
  local status = "ok:"
  envoy_on_request({
    filterContext = function() return context end, headers = function() return headers end, body = function() return body end,
    streamInfo = function() return info end, respond = function(_, h) status = h[":status"] end, logErr = function(_, text) io.stderr:write(text) end,
  })
  io.write((status .. (output or "")):gsub(".", function(c) return string.format("%02x", c:byte()) end), "\\n")
end
${bodies.map((body) => `run(${luaString(body)})`).join('\n')}`;
  const { stdout, stderr } = spawnSync(interpreter ?? '', ['-'], {
    input: `${runtimeLua}\n${harness}`,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  expect(stderr).toBe('');
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => Buffer.from(line, 'hex').toString());
}

const context: Expression = { type: 'call', name: 'context', args: [] };

describe.runIf(interpreter !== undefined)(`in ${interpreter}`, () => {
  test('JSON in, the same JSON out', () => {
    const bodies = [
      '{"b":1,"a":[true,false,null,"x"],"":{}}',
      '[1.0,1e3,-0,0.1,12345678901234567890,123456789012345]',
      '"\\u00e9\\ud83d\\ude00"',
      '"\\"\\\\\\n\\u0001"',
      '[]',
    ];
    const out = render(print({ type: 'call', name: 'tojson', args: [context] }), bodies);
    for (const [i, body] of bodies.entries()) {
      const result = out[i] ?? '';
      expect(result).toMatch(/^ok:/);
      expect(JSON.parse(result.slice(3))).toEqual(JSON.parse(body));
    }
    expect(out[0]).toBe(`ok:${bodies[0]}`);
    expect(out[1]).toBe(`ok:${bodies[1]}`);
  });

  test('what is not JSON is refused', () => {
    const bodies = [
      '{',
      '[1,]',
      '01',
      '+1',
      '.5',
      '1.',
      '"\t"',
      '"\\x"',
      '"\\ud800"',
      '{"a":1,}',
      '{a:1}',
      'nul',
      '[1 2]',
      '1 2',
      "'a'",
      '\u0000',
    ];
    expect(new Set(render(print({ type: 'literal', value: 'x' }), bodies))).toEqual(new Set(['400']));
    expect(render(print({ type: 'literal', value: 'x' }), ['[1]', ' {} ', '', 'false'])).toEqual(['ok:x', 'ok:x', 'ok:x', 'ok:x']);
  });

  test('limits: depth, values, operations, bytes', () => {
    const nested = (n: number): string => '['.repeat(n) + ']'.repeat(n);
    expect(render([], [nested(limits.depth + 1), nested(limits.depth + 2)])).toEqual(['ok:', '400']);
    expect(render([], [`[${'1,'.repeat(limits.values)}1]`])).toEqual(['400']);
    const loop = (body: Template): Template => [{ type: 'for', names: ['x'], over: context, body, otherwise: [] }];
    expect(render(loop(loop(loop([{ type: 'text', text: 'x' }]))), [`[${'1,'.repeat(99)}1]`])).toEqual(['413']);
    const long: Expression = {
      type: 'binary',
      operator: '~',
      left: { type: 'variable', name: 'a' },
      right: { type: 'variable', name: 'a' },
    };
    const doubling: Template = [
      { type: 'set', name: 'a', value: { type: 'literal', value: 'x' } },
      ...Array.from({ length: 40 }, () => ({ type: 'set', name: 'a', value: long }) as const),
    ];
    expect(render(doubling, [''], 'text')).toEqual(['413']);
  });

  test('text functions', () => {
    const call = (name: string, ...args: (string | number)[]): Expression => ({
      type: 'call',
      name,
      args: args.map((value) => ({ type: 'literal', value })),
    });
    const cases: [Expression, string][] = [
      [call('substring', 'ENVOYPROXY something', 5, 10), 'PROXY some'],
      [call('substring', 'ENVOYPROXY', 5), 'PROXY'],
      [call('substring', 'ENVOYPROXY', 5, 99), 'PROXY'],
      [call('substring', 'ENVOYPROXY', 50), ''],
      [call('base64_encode', 'a'), 'YQ=='],
      [call('base64_encode', 'ab'), 'YWI='],
      [call('base64_encode', 'é?>'), 'w6k/Pg=='],
      [call('base64url_encode', 'é?>'), 'w6k_Pg'],
      [call('base64_decode', 'w6k/Pg=='), 'é?>'],
      [call('base64_decode', 'YQ'), 'a'],
      [call('base64_decode', '/w=='), ''],
      [call('base64_decode', 'a'), ''],
      [call('base64_decode', 'YQ=!'), ''],
      [call('base64url_decode', 'w6k_Pg'), 'é?>'],
      [call('replace', 'a.b.c', '.', '%1'), 'a%1b%1c'],
      [call('raw_string', 'a"b\n'), 'a\\"b\\n'],
      [call('trim', ' \n a b \t'), 'a b'],
    ];
    const separated = cases.flatMap(([value]): Template => [...print(value), { type: 'text', text: '|' }]);
    expect(render(separated, [''], 'text')).toEqual([`ok:${cases.map(([, expected]) => `${expected}|`).join('')}`]);
  });
});
