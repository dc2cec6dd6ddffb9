import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check } from './checker.ts';
import { lex, TemplateError } from './lexer.ts';
import { parse } from './parser.ts';

describe('text', () => {
  test.each([
    ['', []],
    ['plain { % } text', ['plain { % } text']],
    ['a {# comment {{ x }} #} b', ['a ', ' b']],
    ['a {#- comment -#} b', ['a', 'b']],
    ['{% raw %}{{ x }}{% endraw %}', ['{{ x }}']],
    ['a {%- raw -%} {{ x }} {%- endraw -%} b', ['a', '{{ x }}', 'b']],
    ['line\n', ['line']],
    ['line\n\n', ['line\n']],
  ])('%j', (source, texts) => {
    expect(lex(source).map((s) => s.type === 'text' && s.text)).toEqual(texts);
  });

  test('a dash takes the white space beside it', () => {
    const segments = lex('a {{- 1 -}} b {%- set x = 1 %} c');
    expect(segments.map((s) => (s.type === 'text' ? s.text : s.type))).toEqual(['a', 'print', 'b', 'block', ' c']);
  });
});

/** Expressions written back with all their brackets. */
function brackets(source: string): string {
  const [node] = parse(`{{ ${source} }}`);
  if (node?.type !== 'print') throw new Error('not an expression');
  const write = (e: typeof node.value): string => {
    switch (e.type) {
      case 'literal':
        return JSON.stringify(e.value);
      case 'variable':
        return e.name;
      case 'index':
        return `${write(e.of)}[${write(e.key)}]`;
      case 'call':
        return `${e.name}(${e.args.map(write).join(', ')})`;
      case 'binary':
        return `(${write(e.left)} ${e.operator} ${write(e.right)})`;
      case 'not':
        return `(not ${write(e.value)})`;
      case 'negative':
        return `(-${write(e.value)})`;
      case 'choice':
        return `(${write(e.value)} if ${write(e.condition)} else ${write(e.otherwise)})`;
      case 'test':
        return `(${write(e.value)} is ${e.test})`;
      case 'list':
        return `[${e.items.map(write).join(', ')}]`;
    }
  };
  return write(node.value);
}

test.each([
  ['a.b["c"][0]', 'a["b"]["c"][0]'],
  ['1 + 2 * 3 - 4', '((1 + (2 * 3)) - 4)'],
  ['a or b and not c == d', '(a or (b and (not (c == d))))'],
  ['a ~ "x" == b', '((a ~ "x") == b)'],
  ['not not a', 'a'],
  ['a not in b', '(not (a in b))'],
  ['a if b else c if d else e', '(a if b else (c if d else e))'],
  ['a if b', '(a if b else "")'],
  ['-a | length', '(-length(a))'],
  ['a is not defined', '(not (a is defined))'],
  ['a | default("x") | upper', 'upper(default(a, "x"))'],
  ['header("x") | replace("a", "b")', 'replace(header("x"), "a", "b")'],
  ['base64_url_encode("a")', 'base64url_encode("a")'],
  ['[1, "two", none, True]', '[1, "two", null, true]'],
  [String.raw`'it\'s' ~ "\n\\"`, String.raw`("it's" ~ "\n\\")`],
])('%s', (source, expected) => {
  expect(brackets(source)).toBe(expected);
});

test.each([
  ['{{ x', 'close it with }}'],
  ['{% if x }}', 'in'],
  ['{# x', 'close it with #}'],
  ['{% if x %}', '{% endif %} is missing'],
  ['{% for x in y %}a', '{% endfor %} is missing'],
  ['{% endif %}', 'unknown block'],
  ['{% include "x" %}', 'unknown block'],
  ['{% raw %}', 'endraw'],
  ['{{ }}', 'expected a value'],
  ['{{ a b }}', 'expected its end'],
  ['{{ a ? b }}', 'unexpected "?"'],
  ['{{ nope(1) }}', 'unknown function "nope"; known are header'],
  ['{{ upper("a") }}', 'it is a filter: write value | upper'],
  ['{{ "a" | header }}', 'it is a function'],
  ['{{ "a" | nope }}', 'unknown filter "nope"'],
  ['{{ a is odd }}', 'unknown test "odd"'],
  ['{{ header() }}', 'has 0 arguments instead of 1'],
  ['{{ substring("a") }}', 'has 1 arguments instead of 2 to 3'],
  ['{{ env(header("x")) }}', 'needs a literal name'],
  ['{{ "\\x" }}', 'unknown escape'],
  ['{% set if = 1 %}', 'cannot be the name of a variable'],
  ['{{ x | items }}', 'can only be looped over'],
  [`{{ ${'('.repeat(30)}1${')'.repeat(30)} }}`, 'nested more than'],
  [`{{ ${'1+'.repeat(30)}1 }}`, 'operators in a row'],
  [`{{ x${'.a'.repeat(30)} }}`, 'steps in a row'],
  [`${'{% if 1 %}'.repeat(30)}${'{% endif %}'.repeat(30)}`, 'nested more than'],
  ['{{ 1 }}{{ 1+1 }}'.repeat(1000), 'more than 2000 operations'],
])('%s is refused with a remedy', (source, message) => {
  const attempt = () => check(parse(source), 'json', { body: false, requestHeaders: new Set() });
  expect(attempt).toThrow(TemplateError);
  expect(attempt).toThrow(message);
});

test('whatever is written, a template or a TemplateError comes of it', () => {
  const words =
    '{{ }} {% %} {# #} - if for x in else endif endfor set = " \' \\ ( ) [ ] . , | is not and 1 1.5 header upper ~ == é raw endraw'.split(
      ' ',
    );
  const fragment = fc.constantFrom(' ', '\n', ...words);
  const source = fc.oneof(
    fc.string(),
    fc.array(fragment).map((parts) => parts.join('')),
    fc.array(fragment).map((parts) => parts.join(' ')),
  );
  fc.assert(
    fc.property(source, (text) => {
      try {
        check(parse(text), 'json', { body: false, requestHeaders: new Set() });
      } catch (error) {
        expect(error).toBeInstanceOf(TemplateError);
      }
    }),
    { numRuns: 2000 },
  );
});
