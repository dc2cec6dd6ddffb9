/** What `local` prints: a table of Gateways and routes with their conditions, and lines to paste. */
import type { GatewayView } from '../gateway/gateway.ts';
import type { RouteKindName, RouteObject } from '../gateway/route.ts';
import { describeRef } from '../ir/object-ref.ts';
import type { ConditionIntent, StatusReport } from '../ir/report.ts';
import type { HTTPRoute, HTTPRouteRule } from '../kube/types/gateway-api.ts';
import { keyOf } from '../kube/types/meta.ts';

/** Rows in columns, as kubectl prints them. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

/** One line for each object; what does not hold follows below it with its message. */
export function statusTable(statuses: readonly StatusReport[]): string {
  const rows: string[][] = [['OBJECT', 'ACCEPTED', 'RESOLVED', 'PROGRAMMED', 'ROUTES']];
  const remarks: string[] = [];
  for (const status of statuses.toSorted((a, b) => describeRef(a.object).localeCompare(describeRef(b.object)))) {
    if (status.object.kind === 'GatewayClass') continue;
    const conditions = 'conditions' in status ? status.conditions : 'entries' in status ? status.entries.flatMap((e) => e.conditions) : [];
    const listeners = status.form === 'whole' ? (status.listeners ?? []) : [];
    const routes = listeners.length > 0 ? String(listeners.reduce((sum, l) => sum + l.attachedRoutes, 0)) : '';
    rows.push([
      describeRef(status.object),
      verdict(conditions, 'Accepted'),
      verdict(conditions, 'ResolvedRefs'),
      verdict(conditions, 'Programmed', 'kgateway.dev/Programmed', 'Attached'),
      routes,
    ]);
    remarks.push(...remarksOf(describeRef(status.object), conditions));
    for (const l of listeners) remarks.push(...remarksOf(`${describeRef(status.object)}#${l.name}`, l.conditions));
  }
  return [table(rows), ...new Set(remarks)].join('\n');
}

function verdict(conditions: readonly ConditionIntent[], ...types: readonly string[]): string {
  const found = conditions.filter((c) => types.includes(c.type));
  if (found.length === 0) return '-';
  return found.every((c) => c.status === 'True') ? 'True' : 'False';
}

function remarksOf(object: string, conditions: readonly ConditionIntent[]): string[] {
  return conditions
    .filter((c) => (c.type === 'Conflicted' || c.type === 'PartiallyInvalid' ? c.status === 'True' : c.status === 'False'))
    .map((c) => `  ! ${object}: ${c.type}=${c.status} (${c.reason}): ${c.message}`);
}

/** A curl line for each rule of each route, at the address where its Gateway listens. */
export function curlLines(
  routes: readonly HTTPRoute[],
  gateways: (key: string) => GatewayView | undefined,
  place: (gateway: string, port: number) => string,
): readonly string[] {
  return routes.flatMap((route) => {
    const found = listenerOf('HTTPRoute', route, gateways);
    if (!found) return [];
    const { gateway, listener, host } = found;
    const base = `${listener.protocol === 'HTTPS' ? 'https' : 'http'}://${place(gateway.key, listener.port)}`;
    return (route.spec.rules ?? []).map(
      (rule) =>
        `curl -i${host ? ` -H 'Host: ${host}'` : ''}${headerFlags(rule)} ${base}${pathOf(rule)}   # ${keyOf(route)}${rule.name ? `#${rule.name}` : ''}`,
    );
  });
}

interface RouteListener {
  readonly gateway: GatewayView;
  readonly listener: GatewayView['listeners'][number];
  /** A host under which the route is found; empty when any is. */
  readonly host: string;
}

/** The first listener of the first parent of a route that its kind can be attached to. */
function listenerOf(
  kind: RouteKindName,
  route: RouteObject,
  gateways: (key: string) => GatewayView | undefined,
): RouteListener | undefined {
  const parent = route.spec.parentRefs?.[0];
  const gateway = parent && gateways(`${parent.namespace ?? route.metadata.namespace}/${parent.name}`);
  const listener = gateway?.listeners.find(
    (l) =>
      l.valid &&
      l.kinds.some((k) => k.kind === kind) &&
      (parent?.sectionName === undefined || l.name === parent.sectionName) &&
      (parent?.port === undefined || l.port === parent.port),
  );
  if (!gateway || !listener) return undefined;
  const host = (route.spec.hostnames?.[0] ?? (listener.hostname === '*' ? '' : listener.hostname)).replace(/^\*/, 'any');
  return { gateway, listener, host };
}

/** A line to paste for a route that curl cannot speak to. */
export function connectLines(
  kind: RouteKindName,
  routes: readonly RouteObject[],
  gateways: (key: string) => GatewayView | undefined,
  place: (gateway: string, port: number) => string,
): readonly string[] {
  return routes.flatMap((route) => {
    const found = listenerOf(kind, route, gateways);
    if (!found) return [];
    const at = place(found.gateway.key, found.listener.port);
    return [`${connectCommand(kind, at, found)}   # ${kind} ${keyOf(route)}`];
  });
}

function connectCommand(kind: RouteKindName, at: string, { listener, host }: RouteListener): string {
  switch (kind) {
    case 'GRPCRoute':
      return `grpcurl ${listener.protocol === 'HTTPS' ? '-insecure' : '-plaintext'}${host && ` -authority ${host}`} ${at} list`;
    case 'TLSRoute':
      return `openssl s_client -connect ${at}${host && ` -servername ${host}`}`;
    case 'UDPRoute':
      return `echo hello | nc -u -w1 ${at.replace(':', ' ')}`;
    default:
      return `nc ${at.replace(':', ' ')}`;
  }
}

function pathOf(rule: HTTPRouteRule): string {
  const path = rule.matches?.[0]?.path;
  return path?.type === 'RegularExpression' ? '/' : (path?.value ?? '/');
}

function headerFlags(rule: HTTPRouteRule): string {
  const headers = rule.matches?.[0]?.headers ?? [];
  return headers.map((h) => ` -H '${h.name}: ${h.value}'`).join('');
}
