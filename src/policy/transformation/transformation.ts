// [TrafficPolicy.transformation] -> [Transformation]: every template parsed and checked, every mistake named with its field.
import { scopeHeader } from '../../ir/names.ts';
import {
  type BodyParsing,
  type HeaderTemplate,
  type MessageTransformation,
  type MetadataTemplate,
  type Template,
  type Transformation,
  runtimeNamespace,
} from '../../ir/transformation.ts';
import { invalidHeaderName, isHeaderName } from '../../ir/header-syntax.ts';
import type { Parsed, Problem } from '../problem.ts';
import { check, type TemplateUses } from './checker.ts';
import { TemplateError } from './lexer.ts';
import { parse } from './parser.ts';
import type { MessageTransformationSpec, TransformationSpec } from './schema.ts';

type Direction = 'request' | 'response';

const maxTemplateLength = 16_384;
const pseudoHeaders: Readonly<Record<Direction, readonly string[]>> = {
  request: [':path', ':method', ':authority'],
  response: [':status'],
};
/** Headers that say how a message is framed; a wrong value would let one message pass for two. */
const framing: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'connection', 'upgrade', 'te', 'trailer']);

/** Reads a transformation at `field`. Total: problems are in the result. Nothing to do is no transformation. */
export function parseTransformation(spec: TransformationSpec, field: string): Parsed<Transformation> {
  const problems: Problem[] = [];
  const request = spec.request && parseMessage(spec.request, 'request', `${field}.request`, problems);
  const response = spec.response && parseMessage(spec.response, 'response', `${field}.response`, problems);
  if (!request && !response) return { problems };
  return { value: { ...(request && { request }), ...(response && { response }) }, problems };
}

const parsings = { AsString: 'text', AsJson: 'json', None: 'none' } as const satisfies Record<string, BodyParsing>;

function parseMessage(
  spec: MessageTransformationSpec,
  direction: Direction,
  field: string,
  problems: Problem[],
): MessageTransformation | undefined {
  const parseAs = parsings[spec.body?.parseAs ?? 'AsString'];
  const uses: TemplateUses = { body: false, requestHeaders: new Set() };
  const template = (text: string, at: string): Template | undefined => {
    if (text.length > maxTemplateLength) {
      problems.push({ field: at, message: `template of ${text.length} characters; at most ${maxTemplateLength} are allowed` });
      return undefined;
    }
    try {
      const parsed = parse(text);
      check(parsed, parseAs, uses);
      return parsed;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      problems.push({ field: at, message: error.message });
      return undefined;
    }
  };
  const headers = (list: MessageTransformationSpec['set'], at: string): HeaderTemplate[] =>
    (list ?? []).flatMap(({ name, value }, i) => {
      const message = settableProblem(name, direction, at.endsWith('add'));
      if (message !== undefined) problems.push({ field: `${at}[${i}].name`, message });
      const parsed = template(value ?? '', `${at}[${i}].value`);
      return message === undefined && parsed ? [{ name: canonicalName(name, direction), value: parsed }] : [];
    });
  const set = headers(spec.set, `${field}.set`);
  const add = headers(spec.add, `${field}.add`);
  const remove = (spec.remove ?? []).flatMap((name, i) => {
    const message = removableProblem(name);
    if (message !== undefined) problems.push({ field: `${field}.remove[${i}]`, message });
    return message === undefined ? [name.toLowerCase()] : [];
  });
  const metadata = (spec.dynamicMetadata ?? []).flatMap(({ namespace, key, value }, i): MetadataTemplate[] => {
    const at = `${field}.dynamicMetadata[${i}]`;
    if (namespace === runtimeNamespace)
      problems.push({ field: `${at}.namespace`, message: `${namespace} is the gateway's own; use another one` });
    if (value.stringValue === undefined) {
      problems.push({ field: `${at}.value`, message: 'exactly one of the fields in [stringValue] must be set' });
      return [];
    }
    const parsed = template(value.stringValue, `${at}.value.stringValue`);
    return parsed ? [{ namespace, key, value: parsed }] : [];
  });
  if (parseAs === 'none' && spec.body?.value !== undefined) {
    problems.push({ field: `${field}.body.value`, message: 'parseAs: None leaves the body alone; remove value, or use AsString' });
  }
  const body = spec.body?.value === undefined ? undefined : template(spec.body.value, `${field}.body.value`);
  const empty = set.length + add.length + remove.length + metadata.length === 0 && body === undefined && parseAs !== 'json';
  if (empty) return undefined;
  return {
    set,
    add,
    remove,
    ...(body && { body }),
    parseAs,
    // A body that is to be JSON is refused when it is not, whether or not a template looks at it.
    buffered: parseAs !== 'none' && (uses.body || body !== undefined || parseAs === 'json'),
    metadata,
    requestHeaders: direction === 'response' ? [...uses.requestHeaders].sort() : [],
  };
}

function canonicalName(name: string, direction: Direction): string {
  const lower = name.toLowerCase();
  return direction === 'request' && lower === 'host' ? ':authority' : lower;
}

function settableProblem(name: string, direction: Direction, add: boolean): string | undefined {
  const lower = name.toLowerCase();
  if (lower.startsWith(':')) {
    const known = pseudoHeaders[direction];
    if (!known.includes(lower)) return `pseudo-header ${JSON.stringify(name)} of a ${direction} cannot be set; ${known.join(', ')} can`;
    return add ? `pseudo-header ${JSON.stringify(name)} has one value; use set` : undefined;
  }
  if (add && direction === 'request' && lower === 'host') return 'host has one value; use set';
  if (framing.has(lower)) return `header ${JSON.stringify(name)} is written by the gateway and cannot be set`;
  return nameProblem(name);
}

function removableProblem(name: string): string | undefined {
  if (name.startsWith(':') || name.toLowerCase() === 'host') return `header ${JSON.stringify(name)} cannot be removed; set it instead`;
  return nameProblem(name);
}

function nameProblem(name: string): string | undefined {
  if (!isHeaderName(name)) return invalidHeaderName(name);
  if (name.toLowerCase() === scopeHeader) return `header ${JSON.stringify(name)} is the gateway's own and cannot be changed`;
  return undefined;
}
