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

/** Undefined when it is one; else what is wrong. */
export function celProblem(text: string): string | undefined {
  const tokens: string[] = [];
  token.lastIndex = 0;
  const end = text.trimEnd().length;
  while (token.lastIndex < end) {
    const at = token.lastIndex;
    const found = token.exec(text);
    if (!found) return `cannot be read from ${JSON.stringify(text.slice(at).trim().slice(0, 20))} on`;
    tokens.push(found[0].trim());
  }
  const parser = new Parser(tokens);
  try {
    parser.expression();
    parser.end();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const binary = [['||'], ['&&'], ['==', '!=', '<', '<=', '>', '>=', 'in'], ['+', '-'], ['*', '/', '%']] as const;

class Parser {
  readonly #tokens: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  end(): void {
    if (this.#peek() !== undefined) throw new Error(`has something left over: ${this.#peek()}`);
  }

  expression(): void {
    if (++this.#depth > 50) throw new Error('is nested too deeply');
    this.#binary(0);
    if (this.#take('?')) {
      this.expression();
      this.#expect(':');
      this.expression();
    }
    this.#depth--;
  }

  #binary(level: number): void {
    const operators: readonly string[] | undefined = binary[level];
    if (!operators) return this.#unary();
    this.#binary(level + 1);
    while (operators.includes(this.#peek() ?? '')) {
      this.#at++;
      this.#binary(level + 1);
    }
  }

  #unary(): void {
    while (this.#take('!') || this.#take('-'));
    this.#primary();
    for (;;) {
      if (this.#take('[')) {
        this.expression();
        this.#expect(']');
      } else if (this.#take('.')) {
        const name = this.#next();
        if (!/^[A-Za-z_]\w*$/.test(name)) throw new Error(`has ${name} after a dot, where a name should be`);
        if (this.#take('(')) this.#call(name);
      } else return;
    }
  }

  #call(name: string): void {
    if (!methods.has(name)) throw new Error(`calls ${name}, which is not among ${[...methods].join(', ')}`);
    const argument = this.#peek() ?? '';
    this.expression();
    this.#expect(')');
    if (name !== 'matches') return;
    if (!/^["']/.test(argument)) throw new Error('matches takes a literal');
    try {
      RE2JS.compile(argument.slice(1, -1).replaceAll(/\\([\\"'])/g, '$1'));
    } catch {
      throw new Error(`has a regular expression that RE2 does not take: ${argument}`);
    }
  }

  #primary(): void {
    const next = this.#next();
    if (next === '(') {
      this.expression();
      return this.#expect(')');
    }
    if (next === '[') {
      if (this.#take(']')) return;
      do this.expression();
      while (this.#take(','));
      return this.#expect(']');
    }
    if (/^[\d"']/.test(next) || next === 'true' || next === 'false' || next === 'null') return;
    if (next === 'has' && this.#take('(')) return this.#field();
    if (next === 'size' && this.#take('(')) {
      this.expression();
      return this.#expect(')');
    }
    if (!roots.has(next)) throw new Error(`has ${next}, where one of ${[...roots].join(', ')} should be`);
  }

  /** What `has` takes: a name after a dot, and no index. */
  #field(): void {
    const root = this.#next();
    if (!roots.has(root)) throw new Error(`has ${root} in has(), where one of ${[...roots].join(', ')} should be`);
    do {
      this.#expect('.');
      const name = this.#next();
      if (!/^[A-Za-z_]\w*$/.test(name)) throw new Error(`has ${name} after a dot, where a name should be`);
    } while (this.#peek() === '.');
    this.#expect(')');
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  #next(): string {
    const next = this.#tokens[this.#at++];
    if (next === undefined) throw new Error('ends too early');
    return next;
  }

  #take(what: string): boolean {
    if (this.#peek() !== what) return false;
    this.#at++;
    return true;
  }

  #expect(what: string): void {
    const next = this.#next();
    if (next !== what) throw new Error(`has ${next}, where ${what} should be`);
  }
}
