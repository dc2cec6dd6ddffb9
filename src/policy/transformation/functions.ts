// Functions, filters and tests of templates. The checker, the Lua runtime and docs/transformation.md hold to this table.
import type { TemplateTest } from '../../ir/transformation.ts';

export interface TemplateFunction {
  /** As a user writes it. */
  readonly name: string;
  /** What the runtime calls it; filters that are also functions share one. */
  readonly runtime: string;
  readonly parameters: readonly string[];
  /** Parameters at the end that may be left out. */
  readonly optional: number;
  /** The first argument must be a literal: what it names is not for requests to choose. */
  readonly literal?: boolean;
  readonly reads?: 'body' | 'json' | 'request-header' | 'cookie';
  readonly description: string;
}

const string = ['string'] as const;

/** Functions, called as `name(arguments)`. */
export const templateFunctions: readonly TemplateFunction[] = [
  {
    name: 'header',
    runtime: 'header',
    parameters: ['name'],
    optional: 0,
    description: 'The header of the message that is transformed: of the request, or of the response. Empty when there is none.',
  },
  {
    name: 'request_header',
    runtime: 'request_header',
    parameters: ['name'],
    optional: 0,
    reads: 'request-header',
    description: 'The header of the request as it arrived, also in templates of the response.',
  },
  {
    name: 'get_cookie',
    runtime: 'get_cookie',
    parameters: ['name'],
    optional: 0,
    reads: 'cookie',
    description: 'The cookie of the request.',
  },
  {
    name: 'get_cookie_i',
    runtime: 'get_cookie_i',
    parameters: ['name'],
    optional: 0,
    reads: 'cookie',
    description: 'The cookie of the request, its name in any case.',
  },
  { name: 'body', runtime: 'body', parameters: [], optional: 0, reads: 'body', description: 'The body as text.' },
  {
    name: 'context',
    runtime: 'context',
    parameters: [],
    optional: 0,
    reads: 'json',
    description: 'The parsed body, for bodies that are lists. Needs `parseAs: AsJson`.',
  },
  {
    name: 'env',
    runtime: 'env',
    parameters: ['name'],
    optional: 0,
    literal: true,
    description: 'The environment variable of the proxy, such as `POD_NAME`. The name must be a literal.',
  },
  {
    name: 'substring',
    runtime: 'substring',
    parameters: ['string', 'start', 'length'],
    optional: 1,
    description: 'Bytes from `start`, which counts from 0; without a positive `length`, or with one past the end, all that follow.',
  },
  { name: 'base64_encode', runtime: 'base64_encode', parameters: string, optional: 0, description: 'To base64.' },
  {
    name: 'base64_decode',
    runtime: 'base64_decode',
    parameters: string,
    optional: 0,
    description: 'From base64; empty when it is none, or not UTF-8.',
  },
  ...(['base64url', 'base64_url'] as const).flatMap((prefix): TemplateFunction[] => [
    { name: `${prefix}_encode`, runtime: 'base64url_encode', parameters: string, optional: 0, description: 'To URL-safe base64.' },
    {
      name: `${prefix}_decode`,
      runtime: 'base64url_decode',
      parameters: string,
      optional: 0,
      description: 'From URL-safe base64; empty when it is none, or not UTF-8.',
    },
  ]),
  {
    name: 'replace_with_random',
    runtime: 'replace_with_random',
    parameters: ['string', 'pattern'],
    optional: 0,
    description: 'Replaces each occurrence of `pattern` with the same 128 random bits in base64, others for each call.',
  },
  {
    name: 'replace_with_string',
    runtime: 'replace',
    parameters: ['string', 'pattern', 'replacement'],
    optional: 0,
    description: 'Replaces each occurrence of `pattern`.',
  },
  {
    name: 'raw_string',
    runtime: 'raw_string',
    parameters: string,
    optional: 0,
    description: 'The string escaped as within a string of JSON.',
  },
];

/** Filters, applied as `value | name(arguments)`; the value is the first parameter. */
export const templateFilters: readonly TemplateFunction[] = [
  { name: 'upper', runtime: 'upper', parameters: string, optional: 0, description: 'ASCII letters in upper case.' },
  { name: 'lower', runtime: 'lower', parameters: string, optional: 0, description: 'ASCII letters in lower case.' },
  { name: 'trim', runtime: 'trim', parameters: string, optional: 0, description: 'Without white space at both ends.' },
  {
    name: 'length',
    runtime: 'length',
    parameters: ['value'],
    optional: 0,
    description: 'Bytes of a string, items of a list, fields of an object.',
  },
  {
    name: 'default',
    runtime: 'default',
    parameters: ['value', 'other'],
    optional: 1,
    description: '`other`, or an empty string, when the value is not defined.',
  },
  {
    name: 'replace',
    runtime: 'replace',
    parameters: ['string', 'pattern', 'replacement'],
    optional: 0,
    description: 'As `replace_with_string`.',
  },
  { name: 'tojson', runtime: 'tojson', parameters: ['value'], optional: 0, description: 'The value as JSON; strings with their quotes.' },
  { name: 'string', runtime: 'string', parameters: ['value'], optional: 0, description: 'The value as it would be printed.' },
  { name: 'first', runtime: 'first', parameters: ['list'], optional: 0, description: 'The first item; not defined when there is none.' },
  { name: 'last', runtime: 'last', parameters: ['list'], optional: 0, description: 'The last item; not defined when there is none.' },
  {
    name: 'join',
    runtime: 'join',
    parameters: ['list', 'separator'],
    optional: 1,
    description: 'The items as printed, with the separator between them.',
  },
];

/** Tests, as in `value is defined` and `value is not defined`. */
export const templateTests: readonly TemplateTest[] = ['defined', 'none', 'string', 'number', 'boolean', 'mapping', 'sequence'];
