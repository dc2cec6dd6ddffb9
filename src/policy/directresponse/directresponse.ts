/** [DirectResponse] -> [Policy] with the answer; what Envoy would refuse is a problem, since it refuses all routes of the host with it. */
import type { DirectAnswer, JsonValue } from '../../ir/route.ts';
import { formatProblem } from '../../ir/format.ts';
import { type Policy, policyMetadata } from '../plugin.ts';
import type { Problem } from '../problem.ts';
import type { DirectResponse } from './schema.ts';

/** What a DirectResponse yields. */
export interface DirectResponseFields {
  readonly answer: DirectAnswer;
}

/** Longest body in bytes: what routes are configured to take (xds/translate/scope.ts). */
const maxBodyBytes = 1 << 20;

/** Reads a DirectResponse. It has no targets: routes name it. */
export function parseDirectResponse(object: DirectResponse): Policy<DirectResponseFields> {
  const problems: Problem[] = [];
  const { status, body, bodyFormat } = object.spec;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    problems.push({ field: 'spec.status', message: `${status} is not a status code from 200 to 599` });
  }
  if (body !== undefined && bodyFormat) {
    problems.push({ field: 'spec', message: 'at most one of the fields in [body bodyFormat] may be set' });
  }
  if (body !== undefined && Buffer.byteLength(body) > maxBodyBytes) {
    problems.push({ field: 'spec.body', message: `${Buffer.byteLength(body)} bytes are too long; at most 1 MiB is allowed` });
  }
  const format = bodyFormat && formatOf(bodyFormat, problems);
  return {
    ...policyMetadata('DirectResponse', object),
    targets: [],
    fields: { answer: { status, ...(body !== undefined && { body }), ...(format && { format }) } },
    problems,
  };
}

function formatOf(spec: NonNullable<DirectResponse['spec']['bodyFormat']>, problems: Problem[]): DirectAnswer['format'] {
  const { text, json, contentType } = spec;
  const at = 'spec.bodyFormat';
  if ((text === undefined) === (json === undefined)) {
    problems.push({ field: at, message: 'exactly one of the fields in [json text] must be set' });
    return undefined;
  }
  if (contentType !== undefined && !/^[!-~]+(?: [!-~]+)*$/.test(contentType)) {
    problems.push({
      field: `${at}.contentType`,
      message: `${JSON.stringify(contentType)} is not a media type; write one such as text/html`,
    });
  }
  const type = contentType === undefined ? {} : { contentType };
  if (text !== undefined) {
    checkText(text, `${at}.text`, problems);
    return { ...type, text };
  }
  checkJson(json as JsonValue, `${at}.json`, problems);
  return { ...type, json: json as { readonly [key: string]: JsonValue } };
}

function checkText(text: string, field: string, problems: Problem[]): void {
  const message = formatProblem(text);
  if (message !== undefined) problems.push({ field, message });
}

function checkJson(value: JsonValue, field: string, problems: Problem[]): void {
  if (typeof value === 'string') checkText(value, field, problems);
  else if (Array.isArray(value)) value.forEach((item: JsonValue, i) => checkJson(item, `${field}[${i}]`, problems));
  else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) checkJson(item, `${field}.${key}`, problems);
  }
}
