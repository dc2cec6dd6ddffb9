// Template text -> tokens: `text {{ print }} {% block %} {# comment #}`, with `-` inside a delimiter to take the white space beside it.

/** A mistake in a template, for the status of its policy. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

export type Token =
  { readonly type: 'name' | 'symbol' | 'string'; readonly text: string } | { readonly type: 'number'; readonly value: number };

export type Segment =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'print' | 'block'; readonly tokens: readonly Token[]; readonly source: string };

const opening = /\{\{|\{%|\{#/g;
const rawEnd = /\{%-?\s*endraw\s*(-?)%\}/g;
const space = /\s*/y;
const tokenPattern =
  /(?<number>[0-9]+(?:\.[0-9]+)?)|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<string>"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*')|(?<symbol>==|!=|<=|>=|\/\/|[-+*/%~<>=|.,()[\]])/y;

/** Splits a template. Throws TemplateError. A single line break at the end is not part of it, as in Jinja. */
export function lex(template: string): readonly Segment[] {
  const source = template.replace(/\r?\n$/, '');
  const segments: Segment[] = [];
  let at = 0;
  let trimStart = false;
  const text = (upTo: number, trimEnd: boolean): void => {
    let part = source.slice(at, upTo);
    if (trimStart) part = part.trimStart();
    if (trimEnd) part = part.trimEnd();
    if (part !== '') segments.push({ type: 'text', text: part });
  };
  for (;;) {
    opening.lastIndex = at;
    const found = opening.exec(source);
    if (!found) break;
    const open = found[0];
    const inside = found.index + 2;
    const trimEnd = source[inside] === '-';
    text(found.index, trimEnd);
    const start = trimEnd ? inside + 1 : inside;
    if (open === '{#') {
      const end = source.indexOf('#}', start);
      if (end < 0) throw new TemplateError(`comment ${excerpt(source, found.index)} has no end; close it with #}`);
      trimStart = source[end - 1] === '-' && end > start;
      at = end + 2;
      continue;
    }
    const close = open === '{{' ? '}}' : '%}';
    const { tokens, end, trim } = tokensUntil(source, start, close);
    at = end;
    trimStart = trim;
    const [first] = tokens;
    if (open === '{%' && tokens.length === 1 && first?.type === 'name' && first.text === 'raw') {
      rawEnd.lastIndex = at;
      const stop = rawEnd.exec(source);
      if (!stop) throw new TemplateError('{% raw %} has no end; close it with {% endraw %}');
      text(stop.index, stop[0].startsWith('{%-'));
      at = stop.index + stop[0].length;
      trimStart = stop[1] === '-';
      continue;
    }
    segments.push({ type: open === '{{' ? 'print' : 'block', tokens, source: source.slice(found.index, at) });
  }
  text(source.length, false);
  return segments;
}

function tokensUntil(source: string, start: number, close: string) {
  const tokens: Token[] = [];
  let at = start;
  for (;;) {
    space.lastIndex = at;
    space.exec(source);
    at = space.lastIndex;
    if (at >= source.length) throw new TemplateError(`${excerpt(source, start)} has no end; close it with ${close}`);
    const trim = source.startsWith(`-${close}`, at);
    if (trim || source.startsWith(close, at)) return { tokens, end: at + close.length + (trim ? 1 : 0), trim };
    tokenPattern.lastIndex = at;
    const groups = tokenPattern.exec(source)?.groups;
    if (!groups) throw new TemplateError(`unexpected ${JSON.stringify(source[at])} in ${excerpt(source, start)}`);
    at = tokenPattern.lastIndex;
    if (groups['number'] !== undefined) tokens.push({ type: 'number', value: Number(groups['number']) });
    else if (groups['name'] !== undefined) tokens.push({ type: 'name', text: groups['name'] });
    else if (groups['string'] !== undefined) tokens.push({ type: 'string', text: unescape(groups['string'].slice(1, -1)) });
    else tokens.push({ type: 'symbol', text: groups['symbol'] ?? '' });
  }
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"', "'": "'", '/': '/' };

function unescape(text: string): string {
  return text.replaceAll(/\\([^])/g, (_all, letter: string) => {
    const value = escapes[letter];
    if (value === undefined) throw new TemplateError(`unknown escape \\${letter} in a string; write \\\\ for a backslash`);
    return value;
  });
}

function excerpt(source: string, at: number): string {
  return JSON.stringify(source.slice(at, at + 30).trim());
}
