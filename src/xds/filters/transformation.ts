/**
 * TrafficPolicy.transformation. A direction whose templates are literals and lookups of headers, and where Envoy's own header mutations come to
 * exactly the same, is left to those; the other one runs a program in the Lua runtime (lua/runtime.ts). (Environment variables are not: Envoy
 * prints `-` for one that is not set.)
 * Why programs and not generated Lua: docs/decisions/0007-transformation-in-lua.md.
 */
import { scopeHeader } from '../../ir/names.ts';
import type { RoutePolicies } from '../../ir/policy.ts';
import type { HeaderTemplate, MessageTransformation, Template } from '../../ir/transformation.ts';
import { type Any, type HeaderMutation, HeaderValueOption_HeaderAppendAction as Append, any } from '../proto/index.ts';
import { programOf } from './lua/program.ts';
import { runtimeLua } from './lua/runtime.ts';
import type { PolicyFilter } from './order.ts';

const source = 'transformation';

/** Directions that need the runtime. The chain names it, so that it is sent once a chain; `shared_vm_id` makes it one VM a worker. */
export const transformation: PolicyFilter = {
  name: 'kgateway.transformation',
  chain: any('envoy.extensions.filters.http.lua.v3.Lua', {
    source_codes: { [source]: { inline_string: runtimeLua } },
    shared_vm_id: 'kgateway.transformation',
    // A path or host that is rewritten goes to the route that was chosen, with the policies that were applied.
    clear_route_cache: { value: false },
  }),
  forRoute: ({ transformation: t }) => {
    const programs = Object.entries({ request: t?.request, response: t?.response }).flatMap(([direction, m]) =>
      m && !nativeMutations(m, direction === 'response') ? [[direction, { string_value: programOf(m) }] as const] : [],
    );
    if (programs.length === 0) return undefined;
    return any('envoy.extensions.filters.http.lua.v3.LuaPerRoute', {
      name: source,
      filter_context: { fields: Object.fromEntries(programs) },
    });
  },
};

/** Directions that Envoy's own header mutations do. */
export const headerTransformation: PolicyFilter = {
  name: 'kgateway.header_transformation',
  chain: any('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {}),
  forRoute: ({ transformation: t }: RoutePolicies): Any | undefined => {
    const request = t?.request && nativeMutations(t.request, false);
    const response = t?.response && nativeMutations(t.response, true);
    if (!request && !response) return undefined;
    return any('envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute', {
      mutations: { ...(request && { request_mutations: request }), ...(response && { response_mutations: response }) },
    });
  },
};

/**
 * The mutations that come to the same as the templates; undefined when none do. Templates see headers as they arrived, mutations see those
 * before them: so no template may look at a header that is changed. An empty result removes the header: it is removed first, and not added
 * when its value is empty. What a header may not hold (line breaks) cannot come out of headers, and literals are looked at here.
 */
function nativeMutations(m: MessageTransformation, response: boolean): readonly HeaderMutation[] | undefined {
  if (m.body || m.buffered || m.metadata.length > 0) return undefined;
  const changed = new Set([...m.set, ...m.add].map((h) => h.name).concat(m.remove));
  const format = ({ name, value }: HeaderTemplate): string | undefined =>
    name.startsWith(':') || m.set.filter((h) => h.name === name).length > 1 ? undefined : formatOf(value, changed, response);
  const append = (h: HeaderTemplate, action: Append): HeaderMutation[] | undefined => {
    const value = format(h);
    if (value === undefined) return undefined;
    return [{ append: { header: { key: h.name, value }, append_action: action } }];
  };
  const mutations: HeaderMutation[] = [];
  for (const h of m.set) {
    const appended = append(h, Append.OVERWRITE_IF_EXISTS_OR_ADD);
    if (!appended) return undefined;
    mutations.push({ remove: h.name }, ...appended);
  }
  for (const h of m.add) {
    const appended = append(h, Append.APPEND_IF_EXISTS_OR_ADD);
    if (!appended) return undefined;
    mutations.push(...appended);
  }
  return [...mutations, ...m.remove.map((name) => ({ remove: name }))];
}

const plainName = /^:?[a-z0-9-]+$/;

/** The template as Envoy's format string. */
function formatOf(template: Template, changed: ReadonlySet<string>, response: boolean): string | undefined {
  const parts = template.map((node) => {
    if (node.type === 'text') return /^[\t -~]*$/.test(node.text) ? node.text.replaceAll('%', '%%') : undefined;
    if (node.type !== 'print' || node.value.type !== 'call') return undefined;
    const { name, args } = node.value;
    const [argument] = args;
    if (argument?.type !== 'literal') return undefined;
    const text = String(argument.value);
    const header = text.toLowerCase();
    if (!plainName.test(header) || changed.has(header) || header === scopeHeader) return undefined;
    // Of a response, what the request was when it arrived is known to the runtime alone: routes and the router change requests later.
    if (name === 'header') return response ? `%RESP(${header})%` : `%REQ(${header})%`;
    return name === 'request_header' && !response ? `%REQ(${header})%` : undefined;
  });
  const format = parts.every((p) => p !== undefined) ? parts.join('') : undefined;
  // Spaces at both ends would be trimmed by the runtime.
  return format === format?.trim() ? format : undefined;
}
