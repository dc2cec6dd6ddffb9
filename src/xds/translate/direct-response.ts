/** [DirectAnswer] -> the direct response of a route. */
import type { DirectAnswer, JsonValue } from '../../ir/route.ts';
import { type DirectResponseAction, NullValue, type Value } from '../proto/index.ts';

/** Translates an answer. */
export function directResponse({ status, body, format }: DirectAnswer): DirectResponseAction {
  return {
    status,
    ...(body !== undefined && { body: { inline_string: body } }),
    ...(format && {
      body_format: {
        ...('text' in format ? { text_format_source: { inline_string: format.text } } : { json_format: { fields: fieldsOf(format.json) } }),
        ...(format.contentType !== undefined && { content_type: format.contentType }),
      },
    }),
  };
}

function fieldsOf(object: { readonly [key: string]: JsonValue }): { readonly [key: string]: Value } {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, valueOf(value)]));
}

function valueOf(value: JsonValue): Value {
  if (value === null) return { null_value: NullValue.NULL_VALUE };
  if (typeof value === 'string') return { string_value: value };
  if (typeof value === 'number') return { number_value: value };
  if (typeof value === 'boolean') return { bool_value: value };
  if (isList(value)) return { list_value: { values: value.map(valueOf) } };
  return { struct_value: { fields: fieldsOf(value) } };
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
