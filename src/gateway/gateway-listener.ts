/**
 * Listeners of a Gateway: what each may serve, which of them clash, and the proxy listeners that they come to.
 *
 *   [Listener] -> conflicts on its port -> certificates -> allowed kinds -> GatewayListener
 */
import { httpsChain, waypointChain } from '../ir/names.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { ListenerEntry } from '../ir/route.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { Secret } from '../kube/types/core.ts';
import type { Listener, RouteGroupKind, RouteNamespaces } from '../kube/types/gateway-api.ts';
import { gatewayGroup, listener as condition } from './conditions.ts';
import { anyHost } from './hostname.ts';
import { resolveCertificates } from './listener-certificate.ts';
import { inboundBindingAnnotation, proxyProtocol } from './waypoint-class.ts';
import type { Grants } from './referencegrant.ts';

/** How requests come in through a listener. */
export function entryOf(l: GatewayListener): ListenerEntry {
  return { scheme: l.protocol === 'HTTPS' ? 'https' : 'http', port: l.port };
}

export interface RouteKind {
  readonly group: string;
  readonly kind: string;
}

export interface GatewayListener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  /** Lower case; `*` when the listener takes any host. */
  readonly hostname: string;
  /** The filter chain that serves it. */
  readonly chain: string;
  /** SDS names of its certificates. */
  readonly certificates: readonly string[];
  /** Kinds that may attach: those that the protocol supports and the user allows. */
  readonly kinds: readonly RouteKind[];
  readonly namespaces: RouteNamespaces;
  /** True when it can be programmed; a listener that cannot leaves the others serving. */
  readonly valid: boolean;
  readonly conditions: readonly ConditionIntent[];
}

const httpKinds = kindsOf('HTTPRoute', 'GRPCRoute');

function kindsOf(...kinds: readonly string[]): readonly RouteKind[] {
  return kinds.map((kind) => ({ group: gatewayGroup, kind }));
}

/** What each protocol carries. The table also says which protocols may share a port. */
const protocols: Readonly<Record<string, { readonly kinds: readonly RouteKind[]; readonly tls: boolean }>> = {
  HTTP: { kinds: httpKinds, tls: false },
  HTTPS: { kinds: httpKinds, tls: true },
};

/** What a waypoint carries: all of its Services behind one listener. */
const waypointProtocols: typeof protocols = { [proxyProtocol]: { kinds: httpKinds, tls: false } };

/** Ports of a proxy Pod that are its own. */
export const reservedPorts: Readonly<Record<number, string>> = {
  8082: 'readiness of the proxy',
  9091: 'metrics of the proxy',
  15000: 'administration of the proxy',
};

export interface ListenerInputs {
  readonly secrets: Collection<Secret>;
  readonly grants: Grants;
}

/** The Gateway of listeners, as far as they depend on it. */
export interface ListenerOwner {
  readonly namespace: string;
  /** Only of a Gateway of a class of waypoints: the port that ztunnel connects to. */
  readonly waypoint?: number;
}

/** Translates all listeners of a Gateway. Source: Gateway API, GatewaySpec.listeners. */
export function translateListeners(
  ctx: Ctx,
  inputs: ListenerInputs,
  owner: ListenerOwner,
  listeners: readonly Listener[],
): GatewayListener[] {
  const conflicts = conflictsOf(listeners);
  return listeners.map((l, i) => translateListener(ctx, inputs, owner, l, conflicts[i]));
}

function translateListener(
  ctx: Ctx,
  inputs: ListenerInputs,
  { namespace, waypoint }: ListenerOwner,
  l: Listener,
  conflict: ConditionIntent | undefined,
): GatewayListener {
  const hostname = l.hostname ? l.hostname.toLowerCase() : anyHost;
  const base = {
    name: l.name,
    port: l.port,
    protocol: l.protocol,
    hostname,
    chain: waypoint !== undefined ? waypointChain : l.protocol === 'HTTPS' ? httpsChain(l.port, l.name) : `http-${l.port}`,
    namespaces: l.allowedRoutes?.namespaces ?? { from: 'Same' as const },
  };
  const protocol = (waypoint !== undefined ? waypointProtocols : protocols)[l.protocol];
  const use = reservedPorts[l.port];
  const refused = !protocol
    ? waypoint !== undefined
      ? condition.notForWaypoint(l.protocol, waypoint)
      : condition.unsupportedProtocol(l.protocol)
    : waypoint !== undefined && l.port !== waypoint
      ? condition.invalid(
          `ztunnel connects to port ${waypoint} (annotation ${inboundBindingAnnotation}), not to ${l.port}: use port ${waypoint}`,
        )
      : use !== undefined
        ? condition.portUnavailable(l.port, use)
        : conflict
          ? condition.invalid(conflict.message)
          : undefined;
  const { kinds, invalidKinds } = allowedKinds(protocol?.kinds ?? [], l.allowedRoutes?.kinds);
  const tls = protocol?.tls
    ? resolveCertificates(ctx, inputs.secrets, inputs.grants, namespace, l.tls?.certificateRefs ?? [])
    : { secrets: [] };
  const resolvedRefs =
    tls.problem ??
    (protocol?.tls && tls.secrets.length === 0
      ? condition.invalidCertificateRef('spec.listeners.tls.certificateRefs is empty; name a Secret of type kubernetes.io/tls')
      : invalidKinds.length > 0
        ? condition.invalidRouteKinds(invalidKinds)
        : condition.resolvedRefs);
  const valid = !refused && (!protocol?.tls || tls.secrets.length > 0);
  return {
    ...base,
    certificates: tls.secrets,
    kinds,
    valid,
    conditions: [
      refused ?? condition.accepted,
      conflict ?? condition.noConflicts,
      resolvedRefs,
      valid ? condition.programmed : condition.notProgrammed((refused ?? resolvedRefs).message),
    ],
  };
}

function allowedKinds(
  supported: readonly RouteKind[],
  wanted: readonly RouteGroupKind[] | undefined,
): { readonly kinds: readonly RouteKind[]; readonly invalidKinds: readonly string[] } {
  if (!wanted || wanted.length === 0) return { kinds: supported, invalidKinds: [] };
  const kinds: RouteKind[] = [];
  const invalidKinds: string[] = [];
  for (const { group = gatewayGroup, kind } of wanted) {
    if (supported.some((s) => s.group === group && s.kind === kind)) kinds.push({ group, kind });
    else invalidKinds.push(kind);
  }
  return { kinds, invalidKinds };
}

/** Two listeners of a port clash when their protocols cannot share it or their hostnames are equal; the first one keeps the port. */
function conflictsOf(listeners: readonly Listener[]): readonly (ConditionIntent | undefined)[] {
  const ports = new Map<number, { readonly protocol: string; readonly hostnames: Set<string> }>();
  return listeners.map((l) => {
    const hostname = l.hostname?.toLowerCase() ?? anyHost;
    const taken = ports.get(l.port);
    if (!taken) {
      if (protocols[l.protocol]) ports.set(l.port, { protocol: l.protocol, hostnames: new Set([hostname]) });
      return undefined;
    }
    if (taken.protocol !== l.protocol) return protocols[l.protocol] ? condition.protocolConflict : undefined;
    if (taken.hostnames.has(hostname)) return condition.hostnameConflict;
    taken.hostnames.add(hostname);
    return undefined;
  });
}
