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
  if (text.length > longest) throw new Error(`has more than ${longest} characters`);
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

/** How deep a tree Envoy builds, and how deep an expression may stand in others, both a little less than it does; and how long one may be. */
const deepest = 30;
const longest = 100_000;

/** By recursive descent; a function for each rule of the grammar, which returns the height of the tree that it comes to. Throws what is wrong. */
function parse(tokens: readonly string[]): void {
  let at = 0;
  let depth = 0;
  const height = expression();
  if (peek() !== undefined) throw new Error(`has something left over: ${peek()}`);
  if (height > deepest) throw new Error('is nested too deeply');

  function expression(): number {
    if (++depth > deepest) throw new Error('is nested too deeply');
    let height = operators(0);
    if (take('?')) {
      const yes = operators(0);
      expect(':');
      height = 1 + Math.max(height, yes, expression());
    }
    depth--;
    return height;
  }

  function operators(level: number): number {
    const ofLevel = binary[level];
    if (!ofLevel) return unary();
    const heights = [operators(level + 1)];
    while (ofLevel.includes(peek() ?? '')) {
      at++;
      heights.push(operators(level + 1));
    }
    // Chains of || and && become balanced trees, any other leans to the left.
    if (level < 2) return heights.reduce((a, b) => Math.max(a, b)) + Math.ceil(Math.log2(heights.length));
    return heights.reduce((left, right) => 1 + Math.max(left, right));
  }

  /** One of the two, as often as one likes. */
  function unary(): number {
    const sign = peek();
    const signed = sign === '!' || sign === '-';
    if (signed) while (take(sign));
    let height = primary() + (signed ? 1 : 0);
    for (;;) {
      if (take('[')) {
        height = 1 + Math.max(height, expression());
        expect(']');
      } else if (take('.')) {
        const name = field();
        height = 1 + (take('(') ? Math.max(height, argumentOf(name)) : height);
      } else return height;
    }
  }

  function argumentOf(method: string): number {
    if (!methods.has(method)) throw new Error(`calls ${method}, which is not among ${[...methods].join(', ')}`);
    const argument = peek() ?? '';
    const height = expression();
    expect(')');
    if (method !== 'matches') return height;
    if (!/^["']/.test(argument)) throw new Error('matches takes a literal');
    try {
      RE2JS.compile(argument.slice(1, -1).replaceAll(/\\([\\"'])/g, '$1'));
    } catch {
      throw new Error(`has a regular expression that RE2 does not take: ${argument}`);
    }
    return height;
  }

  function primary(): number {
    const first = next();
    if (first === '(') return within(')');
    if (first === '[') {
      if (take(']')) return 1;
      let height = expression();
      while (take(',')) height = Math.max(height, expression());
      expect(']');
      return 1 + height;
    }
    if (/^\d+$/.test(first) && BigInt(first) >= 2n ** 63n) throw new Error(`has ${first}, which is too large for a number`);
    if (/^[\d"']/.test(first) || first === 'true' || first === 'false' || first === 'null') return 1;
    if (first === 'has' && take('(')) return presence();
    if (first === 'size' && take('(')) return 1 + within(')');
    if (!roots.has(first)) throw new Error(`has ${first}, where one of ${[...roots].join(', ')} should be`);
    return 1;
  }

  function within(end: string): number {
    const height = expression();
    expect(end);
    return height;
  }

  /** What `has` takes: a name after a dot, and no index. */
  function presence(): number {
    const root = next();
    if (!roots.has(root)) throw new Error(`has ${root} in has(), where one of ${[...roots].join(', ')} should be`);
    let height = 1;
    do {
      expect('.');
      field();
      height++;
    } while (peek() === '.');
    expect(')');
    return height;
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
