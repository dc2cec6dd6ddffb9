// What a template uses, and whether all of it is there: an unknown variable is a condition of the policy, not an answer to a request.
import type { BodyParsing, Expression, Template } from '../../ir/transformation.ts';
import { templateFilters, templateFunctions } from './functions.ts';
import { TemplateError } from './lexer.ts';

/** What a template uses. */
export interface TemplateUses {
  body: boolean;
  /** Names of request headers, lower case. */
  readonly requestHeaders: Set<string>;
}

const byRuntime = new Map([...templateFunctions, ...templateFilters].map((f) => [f.runtime, f]));
const loopFields: ReadonlySet<string> = new Set(['index', 'index0', 'first', 'last', 'length']);
/** Of expressions: as deep as the runtime goes. */
const maxDepth = 100;

/** Checks a template and adds what it uses to `uses`. Throws TemplateError. */
export function check(template: Template, parseAs: BodyParsing, uses: TemplateUses): void {
  new Checker(parseAs, uses).template(template, new Set());
}

class Checker {
  readonly #parseAs: BodyParsing;
  readonly #uses: TemplateUses;

  constructor(parseAs: BodyParsing, uses: TemplateUses) {
    this.#parseAs = parseAs;
    this.#uses = uses;
  }

  /** `scope` gains what the template sets. */
  template(template: Template, scope: Set<string>): void {
    for (const node of template) {
      if (node.type === 'print') this.#expression(node.value, scope, 0);
      else if (node.type === 'set') {
        this.#expression(node.value, scope, 0);
        scope.add(node.name);
      } else if (node.type === 'for') {
        this.#expression(node.over, scope, 0);
        this.template(node.body, new Set([...scope, ...node.names, 'loop']));
        this.template(node.otherwise, scope);
      } else if (node.type === 'if') {
        for (const { condition, body } of node.branches) {
          this.#expression(condition, scope, 0);
          this.template(body, scope);
        }
        this.template(node.otherwise, scope);
      }
    }
  }

  #expression(e: Expression, scope: ReadonlySet<string>, depth: number): void {
    if (depth > maxDepth) throw new TemplateError('an expression is too deep; use {% set %} to name parts of it');
    const next = depth + 1;
    switch (e.type) {
      case 'literal':
        return;
      case 'variable':
        return this.#variable(e.name, scope);
      case 'index':
        if (e.of.type === 'variable' && e.of.name === 'loop' && scope.has('loop')) return loopField(e.key);
        this.#expression(e.of, scope, next);
        return this.#expression(e.key, scope, next);
      case 'call':
        this.#call(e);
        for (const argument of e.args) this.#expression(argument, scope, next);
        return;
      case 'binary':
        this.#expression(e.left, scope, next);
        return this.#expression(e.right, scope, next);
      case 'choice':
        this.#expression(e.condition, scope, next);
        this.#expression(e.value, scope, next);
        return this.#expression(e.otherwise, scope, next);
      case 'list':
        for (const item of e.items) this.#expression(item, scope, next);
        return;
      case 'not':
      case 'negative':
      case 'test':
        return this.#expression(e.value, scope, next);
    }
  }

  #variable(name: string, scope: ReadonlySet<string>): void {
    if (scope.has(name)) return;
    if (name === 'loop') throw new TemplateError('loop is known within {% for %} only');
    if (this.#parseAs === 'json') {
      this.#uses.body = true;
      return;
    }
    const known = templateFunctions.some((f) => f.name === name);
    const hint = known
      ? `it is a function: write ${name}(…)`
      : 'fields of the body are variables with body.parseAs: AsJson; text needs quotes';
    throw new TemplateError(`unknown variable ${JSON.stringify(name)}; ${hint}`);
  }

  #call({ name, args }: Expression & { type: 'call' }): void {
    const found = byRuntime.get(name);
    if (!found) throw new TemplateError('items can only be looped over: write for key, value in … | items');
    const [first] = args;
    if (found.reads === 'cookie') this.#uses.requestHeaders.add('cookie');
    if (found.reads === 'request-header' && first?.type === 'literal') this.#uses.requestHeaders.add(String(first.value).toLowerCase());
    if (found.reads === 'json' && this.#parseAs !== 'json') throw new TemplateError(`${found.name}() needs body.parseAs: AsJson`);
    if (found.reads === 'body' || found.reads === 'json') this.#uses.body = true;
  }
}

function loopField(key: Expression): void {
  if (key.type === 'literal' && loopFields.has(String(key.value))) return;
  throw new TemplateError(`loop has only ${[...loopFields].join(', ')}`);
}
