/**
 * Whether Envoy would take a CEL expression: it refuses the whole listener for one that it cannot build. So this is a parser of the part of CEL
 * that filters of access logs need; what it does not know is refused here, where only the filter is lost.
 */
import { RE2JS } from 're2js';

/** Envoy's attributes. Source: Envoy, "Attributes". */
const roots: ReadonlySet<string> = new Set([
  'request',
  'response',
  'connection',
  'upstream',
  'source',
  'destination',
  'metadata',
  'filter_state',
  'xds',
]);
const methods: ReadonlySet<string> = new Set(['contains', 'startsWith', 'endsWith', 'matches']);
const token =
  /\s*(?:(\d+\.\d+|\d+)|("(?:[^"\\\n]|\\[\\"'nrt])*"|'(?:[^'\\\n]|\\[\\"'nrt])*')|([A-Za-z_]\w*)|(\|\||&&|==|!=|<=|>=|[<>+\-*/%!?:.,()[\]]))/y;

const binary: readonly (readonly string[])[] = [['||'], ['&&'], ['==', '!=', '<', '<=', '>', '>=', 'in'], ['+', '-'], ['*', '/', '%']];
/** Words that are operators and values of the language, and no names. */
const words: ReadonlySet<string> = new Set(['in', 'true', 'false', 'null']);

/** Undefined when it is one; else what is wrong. */
export function celProblem(text: string): string | undefined {
  try {
    parse(tokensOf(text));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = [];
  token.lastIndex = 0;
  const end = text.trimEnd().length;
  while (token.lastIndex < end) {
    const at = token.lastIndex;
    const found = token.exec(text);
    if (!found) throw new Error(`cannot be read from ${JSON.stringify(text.slice(at).trim().slice(0, 20))} on`);
    tokens.push(found[0].trim());
  }
  return tokens;
}

/** By recursive descent; a function for each rule of the grammar. Throws what is wrong. */
function parse(tokens: readonly string[]): void {
  let at = 0;
  let depth = 0;
  expression();
  if (peek() !== undefined) throw new Error(`has something left over: ${peek()}`);

  function expression(): void {
    if (++depth > 50) throw new Error('is nested too deeply');
    operators(0);
    if (take('?')) {
      operators(0);
      expect(':');
      expression();
    }
    depth--;
  }

  function operators(level: number): void {
    const ofLevel = binary[level];
    if (!ofLevel) return unary();
    operators(level + 1);
    while (ofLevel.includes(peek() ?? '')) {
      at++;
      operators(level + 1);
    }
  }

  /** One of the two, as often as one likes. */
  function unary(): void {
    const sign = peek();
    if (sign === '!' || sign === '-') while (take(sign));
    primary();
    for (;;) {
      if (take('[')) {
        expression();
        expect(']');
      } else if (take('.')) {
        const name = field();
        if (take('(')) call(name);
      } else return;
    }
  }

  function call(name: string): void {
    if (!methods.has(name)) throw new Error(`calls ${name}, which is not among ${[...methods].join(', ')}`);
    const argument = peek() ?? '';
    expression();
    expect(')');
    if (name !== 'matches') return;
    if (!/^["']/.test(argument)) throw new Error('matches takes a literal');
    try {
      RE2JS.compile(argument.slice(1, -1).replaceAll(/\\([\\"'])/g, '$1'));
    } catch {
      throw new Error(`has a regular expression that RE2 does not take: ${argument}`);
    }
  }

  function primary(): void {
    const first = next();
    if (first === '(') {
      expression();
      return expect(')');
    }
    if (first === '[') {
      if (take(']')) return;
      do expression();
      while (take(','));
      return expect(']');
    }
    if (/^[\d"']/.test(first) || first === 'true' || first === 'false' || first === 'null') return;
    if (first === 'has' && take('(')) return presence();
    if (first === 'size' && take('(')) {
      expression();
      return expect(')');
    }
    if (!roots.has(first)) throw new Error(`has ${first}, where one of ${[...roots].join(', ')} should be`);
  }

  /** What `has` takes: a name after a dot, and no index. */
  function presence(): void {
    const root = next();
    if (!roots.has(root)) throw new Error(`has ${root} in has(), where one of ${[...roots].join(', ')} should be`);
    do {
      expect('.');
      field();
    } while (peek() === '.');
    expect(')');
  }

  function field(): string {
    const name = next();
    if (!/^[A-Za-z_]\w*$/.test(name) || words.has(name)) throw new Error(`has ${name} after a dot, where a name should be`);
    return name;
  }

  function peek(): string | undefined {
    return tokens[at];
  }

  function next(): string {
    const found = tokens[at++];
    if (found === undefined) throw new Error('ends too early');
    return found;
  }

  function take(what: string): boolean {
    if (peek() !== what) return false;
    at++;
    return true;
  }

  function expect(what: string): void {
    const found = next();
    if (found !== what) throw new Error(`has ${found}, where ${what} should be`);
  }
}
