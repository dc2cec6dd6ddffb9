// Segments -> Template. Precedence as in Jinja: `a if c else b`, or, and, not, comparisons and in, ~, + -, * / // %, unary -, filters, is.
import type { BinaryOperator, Branch, Expression, Template, TemplateNode, TemplateTest } from '../../ir/transformation.ts';
import { templateFilters, templateFunctions, templateTests, type TemplateFunction } from './functions.ts';
import { type Segment, TemplateError, type Token, lex } from './lexer.ts';

/** Expressions and blocks within one another. */
const maxDepth = 24;
const maxNodes = 2000;

/** Parses a template. Throws TemplateError. */
export function parse(source: string): Template {
  const segments = lex(source);
  const budget = { nodes: maxNodes };
  let at = 0;

  const template = (depth: number, ends: readonly string[]): { body: Template; end: Cursor | undefined } => {
    if (depth > maxDepth) throw new TemplateError(`blocks are nested more than ${maxDepth} deep`);
    const body: TemplateNode[] = [];
    for (;;) {
      const segment = segments[at++];
      if (!segment) {
        if (ends.length > 0) throw new TemplateError(`{% ${ends.at(-1)} %} is missing`);
        return { body, end: undefined };
      }
      if (segment.type === 'text') {
        body.push({ type: 'text', text: segment.text });
        continue;
      }
      const cursor = new Cursor(segment, budget);
      if (segment.type === 'print') {
        body.push({ type: 'print', value: cursor.whole() });
        continue;
      }
      const word = cursor.name('a keyword such as if, for or set');
      if (ends.includes(word)) return { body, end: cursor.after(word) };
      if (word === 'if') body.push(conditional(cursor, depth));
      else if (word === 'for') body.push(loop(cursor, depth));
      else if (word === 'set') {
        const name = cursor.newName();
        cursor.expect('=');
        body.push({ type: 'set', name, value: cursor.whole() });
      } else throw new TemplateError(`unknown block ${segment.source}; if, elif, else, for, set and raw are known`);
    }
  };

  const conditional = (first: Cursor, depth: number): TemplateNode => {
    const branches: Branch[] = [];
    let condition = first.whole();
    for (;;) {
      const { body, end } = template(depth + 1, ['elif', 'else', 'endif']);
      branches.push({ condition, body });
      if (end?.word === 'elif') condition = end.whole();
      else if (end?.word === 'else') {
        end.done();
        const last = template(depth + 1, ['endif']);
        last.end?.done();
        return { type: 'if', branches, otherwise: last.body };
      } else {
        end?.done();
        return { type: 'if', branches, otherwise: [] };
      }
    }
  };

  const loop = (cursor: Cursor, depth: number): TemplateNode => {
    const names = [cursor.newName()];
    if (cursor.take(',')) names.push(cursor.newName());
    if (!cursor.takeWord('in')) throw cursor.unexpected('in');
    const over = items(cursor.whole(), names.length);
    const { body, end } = template(depth + 1, ['else', 'endfor']);
    end?.done();
    if (end?.word !== 'else') return { type: 'for', names, over, body, otherwise: [] };
    const last = template(depth + 1, ['endfor']);
    last.end?.done();
    return { type: 'for', names, over, body, otherwise: last.body };
  };

  return template(0, []).body;
}

/** `for key, value in object | items`, where the filter may be left out. */
function items(over: Expression, names: number): Expression {
  if (over.type !== 'call' || over.name !== 'items') return over;
  const [of] = over.args;
  if (!of || names !== 2) throw new TemplateError('items yields keys and values; write for key, value in …');
  return of;
}

const comparisons: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=']);
const keywords: ReadonlySet<string> = new Set(['if', 'else', 'and', 'or', 'not', 'in', 'is', 'true', 'false', 'none', 'loop']);

/** Reads the tokens of one `{{ }}` or `{% %}`. */
class Cursor {
  readonly word: string;
  readonly #tokens: readonly Token[];
  readonly #source: string;
  readonly #budget: { nodes: number };
  #at = 0;
  #depth = 0;

  constructor(segment: Exclude<Segment, { type: 'text' }>, budget: { nodes: number }, word = '', at = 0) {
    this.#tokens = segment.tokens;
    this.#source = segment.source;
    this.#budget = budget;
    this.word = word;
    this.#at = at;
  }

  /** This cursor, known as the end of a block. */
  after(word: string): Cursor {
    return new Cursor({ type: 'block', tokens: this.#tokens, source: this.#source }, this.#budget, word, this.#at);
  }

  unexpected(wanted: string): TemplateError {
    const token = this.#tokens[this.#at];
    const found = token === undefined ? 'its end' : JSON.stringify(token.type === 'number' ? String(token.value) : token.text);
    return new TemplateError(`expected ${wanted} instead of ${found} in ${this.#source}`);
  }

  done(): void {
    if (this.#at < this.#tokens.length) throw this.unexpected('its end');
  }

  whole(): Expression {
    const value = this.#expression();
    this.done();
    return value;
  }

  name(wanted = 'a name'): string {
    const token = this.#tokens[this.#at];
    if (token?.type !== 'name') throw this.unexpected(wanted);
    this.#at++;
    return token.text;
  }

  newName(): string {
    const name = this.name();
    if (keywords.has(name.toLowerCase())) throw new TemplateError(`${name} cannot be the name of a variable, in ${this.#source}`);
    return name;
  }

  take(symbol: string): boolean {
    return this.#takeIf('symbol', symbol);
  }

  takeWord(word: string): boolean {
    return this.#takeIf('name', word);
  }

  expect(symbol: string): void {
    if (!this.take(symbol)) throw this.unexpected(symbol);
  }

  #takeIf(type: Token['type'], text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token === undefined || token.type === 'number' || token.type !== type || token.text !== text) return false;
    this.#at++;
    return true;
  }

  #expression(): Expression {
    if (++this.#depth > maxDepth) throw new TemplateError(`expressions are nested more than ${maxDepth} deep in ${this.#source}`);
    let value = this.#or();
    if (this.takeWord('if')) {
      const condition = this.#or();
      const otherwise: Expression = this.takeWord('else') ? this.#expression() : { type: 'literal', value: '' };
      value = this.#node({ type: 'choice', condition, value, otherwise });
    }
    this.#depth--;
    return value;
  }

  /** Counts what is left of the budget; a chain of operators is as deep as it is long. */
  #node(node: Expression): Expression {
    if (--this.#budget.nodes < 0) throw new TemplateError(`the template has more than ${maxNodes} operations; make it simpler`);
    return node;
  }

  #chain(next: () => Expression, operator: () => BinaryOperator | undefined): Expression {
    let left = next();
    let length = 0;
    for (let found = operator(); found; found = operator()) {
      if (++length > maxDepth) throw new TemplateError(`more than ${maxDepth} operators in a row in ${this.#source}; use {% set %}`);
      left = this.#node({ type: 'binary', operator: found, left, right: next() });
    }
    return left;
  }

  #symbolOf(...symbols: readonly BinaryOperator[]): BinaryOperator | undefined {
    return symbols.find((s) => this.take(s));
  }

  #or(): Expression {
    return this.#chain(
      () => this.#and(),
      () => (this.takeWord('or') ? 'or' : undefined),
    );
  }

  #and(): Expression {
    return this.#chain(
      () => this.#not(),
      () => (this.takeWord('and') ? 'and' : undefined),
    );
  }

  #not(): Expression {
    let negations = 0;
    while (this.takeWord('not')) negations++;
    const value = this.#comparison();
    return negations % 2 === 1 ? this.#node({ type: 'not', value }) : value;
  }

  #comparison(): Expression {
    const left = this.#concatenation();
    const token = this.#tokens[this.#at];
    if (token?.type === 'symbol' && comparisons.has(token.text)) {
      this.#at++;
      return this.#node({ type: 'binary', operator: token.text as BinaryOperator, left, right: this.#concatenation() });
    }
    if (this.takeWord('in')) return this.#node({ type: 'binary', operator: 'in', left, right: this.#concatenation() });
    if (this.takeWord('not')) {
      if (!this.takeWord('in')) throw this.unexpected('in');
      return this.#node({ type: 'not', value: { type: 'binary', operator: 'in', left, right: this.#concatenation() } });
    }
    return left;
  }

  #concatenation(): Expression {
    return this.#chain(
      () => this.#sum(),
      () => this.#symbolOf('~'),
    );
  }

  #sum(): Expression {
    return this.#chain(
      () => this.#product(),
      () => this.#symbolOf('+', '-'),
    );
  }

  #product(): Expression {
    return this.#chain(
      () => this.#unary(),
      () => this.#symbolOf('*', '//', '/', '%'),
    );
  }

  #unary(): Expression {
    if (!this.take('-')) return this.#postfix();
    return this.#node({ type: 'negative', value: this.#postfix() });
  }

  #postfix(): Expression {
    let value = this.#primary();
    for (let length = 0; ; length++) {
      if (length > maxDepth) throw new TemplateError(`more than ${maxDepth} steps in a row in ${this.#source}; use {% set %}`);
      if (this.take('.')) {
        const token = this.#tokens[this.#at++];
        if (token?.type !== 'name') {
          this.#at--;
          throw this.unexpected('a name');
        }
        value = this.#node({ type: 'index', of: value, key: { type: 'literal', value: token.text } });
      } else if (this.take('[')) {
        const key = this.#expression();
        this.expect(']');
        value = this.#node({ type: 'index', of: value, key });
      } else if (this.take('|')) {
        const name = this.name('the name of a filter');
        value = this.#call('filter', name, [value, ...(this.take('(') ? this.#arguments(')') : [])]);
      } else if (this.takeWord('is')) {
        const negated = this.takeWord('not');
        const name = this.name('the name of a test');
        const test = templateTests.find((t): t is TemplateTest => t === name);
        if (!test) throw new TemplateError(`unknown test ${JSON.stringify(name)}; known are ${templateTests.join(', ')}`);
        value = this.#node({ type: 'test', test, value });
        if (negated) value = { type: 'not', value };
      } else return value;
    }
  }

  #arguments(close: string): Expression[] {
    const args: Expression[] = [];
    while (!this.take(close)) {
      if (args.length > 0) this.expect(',');
      if (args.length > 0 && this.take(close)) break;
      args.push(this.#expression());
    }
    return args;
  }

  #primary(): Expression {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw this.unexpected('a value');
    if (token.type === 'number' || token.type === 'string') {
      this.#at++;
      return this.#node({ type: 'literal', value: token.type === 'number' ? token.value : token.text });
    }
    if (this.take('(')) {
      const value = this.#expression();
      this.expect(')');
      return value;
    }
    if (this.take('[')) return this.#node({ type: 'list', items: this.#arguments(']') });
    const name = this.name('a value');
    if (this.take('(')) return this.#call('function', name, this.#arguments(')'));
    const constant = constants.get(name);
    if (constant) return constant;
    if (keywords.has(name) && name !== 'loop') {
      this.#at--;
      throw this.unexpected('a value');
    }
    return this.#node({ type: 'variable', name });
  }

  #call(kind: 'function' | 'filter', name: string, args: readonly Expression[]): Expression {
    if (kind === 'filter' && name === 'items') return { type: 'call', name, args };
    const table = kind === 'function' ? templateFunctions : templateFilters;
    const found = table.find((f) => f.name === name);
    if (!found) {
      const elsewhere = (kind === 'function' ? templateFilters : templateFunctions).some((f) => f.name === name);
      const hint = elsewhere
        ? `it is a ${kind === 'function' ? 'filter: write value | ' : 'function: write '}${name}`
        : `known are ${table.map((f) => f.name).join(', ')}`;
      throw new TemplateError(`unknown ${kind} ${JSON.stringify(name)}; ${hint}`);
    }
    checkArguments(found, args);
    return this.#node({ type: 'call', name: found.runtime, args });
  }
}

const constants: ReadonlyMap<string, Expression> = new Map(
  [true, false, null].flatMap((value): [string, Expression][] => {
    const literal: Expression = { type: 'literal', value };
    const name = value === null ? 'none' : String(value);
    return [
      [name, literal],
      [`${name[0]?.toUpperCase()}${name.slice(1)}`, literal],
    ];
  }),
);

function checkArguments({ name, parameters, optional, literal }: TemplateFunction, args: readonly Expression[]): void {
  const least = parameters.length - optional;
  if (args.length < least || args.length > parameters.length) {
    throw new TemplateError(`${name}(${parameters.join(', ')}) has ${args.length} arguments instead of ${range(least, parameters.length)}`);
  }
  if (literal && (args[0]?.type !== 'literal' || typeof args[0].value !== 'string'))
    throw new TemplateError(`${name}() needs a literal name, such as ${name}("POD_NAME"), so that no request chooses it`);
}

function range(least: number, most: number): string {
  return least === most ? String(least) : `${least} to ${most}`;
}
