/**
 * The Lua of transformations: fixed, the same for everyone and every route. What a user wrote arrives as data in `filter_context`.
 *   head <- json <- text <- template <- message
 */
import { scopeHeader } from '../../../ir/names.ts';
import { limits, runtimeNamespace } from '../../../ir/transformation.ts';
import { jsonLua } from './json.ts';
import { headLua } from './head.ts';
import { messageLua } from './message.ts';
import { templateLua } from './template.ts';
import { textLua } from './text.ts';

const constants = {
  NAMESPACE: runtimeNamespace,
  SCOPE_HEADER: scopeHeader,
  MAX_OPERATIONS: limits.operations,
  MAX_BYTES: limits.bytes,
  MAX_VALUES: limits.values,
  MAX_DEPTH: limits.depth,
  // Kept compiled in each worker; past it, all are compiled again.
  MAX_PROGRAMS: 2048,
  MAX_HEADER_BYTES: limits.headerBytes,
  MAX_BODY_BYTES: limits.bodyBytes,
};

const definitions = Object.entries(constants)
  .map(([name, value]) => `local ${name} = ${JSON.stringify(value)}`)
  .join('\n');

/** Without comments and indentation: every filter chain carries it. */
export const runtimeLua = [definitions, headLua, jsonLua, textLua, templateLua, messageLua]
  .join('\n')
  .split('\n')
  .map((line) => line.replace(/ -- .*$/, '').trim())
  .filter((line) => line !== '' && !line.startsWith('--'))
  .join('\n');
