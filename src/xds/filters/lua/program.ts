/** [MessageTransformation] -> program: JSON that the runtime turns into closures. Text of the user is only ever a string of it. */
import type { Expression, HeaderTemplate, MessageTransformation, Template, TemplateNode } from '../../../ir/transformation.ts';

/** A value of JSON. */
type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** The program of one direction. */
export function programOf(m: MessageTransformation): string {
  const headers = (list: readonly HeaderTemplate[]): Json => list.map(({ name, value }) => [name, templateCode(value)]);
  const wantsMethod = m.body !== undefined || m.buffered;
  return JSON.stringify({
    set: headers(m.set),
    add: headers(m.add),
    remove: m.remove,
    ...(m.body && { body: templateCode(m.body) }),
    parse: m.parseAs,
    buffered: m.buffered,
    metadata: m.metadata.map((e) => [e.namespace, e.key, templateCode(e.value)]),
    // The method that the client used decides whether a response has a body, whatever the request was turned into.
    requestHeaders: wantsMethod ? [...m.requestHeaders.filter((name) => name !== ':method'), ':method'] : m.requestHeaders,
  } satisfies Json);
}

function templateCode(template: Template): Json {
  return template.map(nodeCode);
}

function nodeCode(node: TemplateNode): Json {
  switch (node.type) {
    case 'text':
      return node.text;
    case 'print':
      return ['p', code(node.value)];
    case 'if':
      return ['i', node.branches.map((b) => [code(b.condition), templateCode(b.body)]), templateCode(node.otherwise)];
    case 'for':
      return ['f', node.names, code(node.over), templateCode(node.body), templateCode(node.otherwise)];
    case 'set':
      return ['s', node.name, code(node.value)];
  }
}

function code(e: Expression): Json {
  switch (e.type) {
    case 'literal':
      return ['l', e.value];
    case 'variable':
      return ['v', e.name];
    case 'index':
      return ['.', code(e.of), code(e.key)];
    case 'call':
      return ['c', e.name, e.args.map(code)];
    case 'binary':
      return ['o', e.operator, code(e.left), code(e.right)];
    case 'not':
      return ['!', code(e.value)];
    case 'negative':
      return ['-', code(e.value)];
    case 'choice':
      return ['?', code(e.condition), code(e.value), code(e.otherwise)];
    case 'test':
      return ['t', e.test, code(e.value)];
    case 'list':
      return ['a', e.items.map(code)];
  }
}
