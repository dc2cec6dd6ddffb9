/**
 * Listeners of a Gateway: what each may serve, which of them clash, and the proxy listeners that they come to.
 *
 *   [Listener] -> conflicts on its port -> certificates -> allowed kinds -> GatewayListener
 */
import type { ClientValidation } from '../ir/listener.ts';
import { httpsChain, waypointChain } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import { ownValue } from '../ir/own-value.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { ListenerEntry } from '../ir/route.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import type { Listener, RouteGroupKind, RouteNamespaces } from '../kube/types/gateway-api.ts';
import { describeProblems } from '../policy/problem.ts';
import { gatewayGroup, listener as condition } from './conditions.ts';
import type { FrontendValidations } from './gateway-tls.ts';
import { anyHost } from './hostname.ts';
import { resolveCertificates } from './listener-certificate.ts';
import type { ListenerSetView } from './listenerset.ts';
import type { SecretState } from './tls-secret.ts';
import { type TlsOptions, tlsOptions, withClientOptions } from './tls-options.ts';
import { type WaypointEntrance, entranceProblem, hboneProtocol, proxyProtocol } from './waypoint-class.ts';
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
  /** The Gateway or ListenerSet that it stands in. */
  readonly owner: ObjectRef;
  /** Labels of its ListenerSet. */
  readonly setLabels?: Readonly<Record<string, string>>;
  /** Unique in the Gateway, its ListenerSets included; of a listener of the Gateway itself, its name. */
  readonly key: string;
  readonly port: number;
  readonly protocol: string;
  /** Lower case; `*` when the listener takes any host. */
  readonly hostname: string;
  /** Of a listener of protocol TLS: it goes through to the backend as it is. */
  readonly passthrough: boolean;
  /** The filter chain that serves it; of a TLS listener, the prefix of its chains, one a host. */
  readonly chain: string;
  /** SDS names of its certificates. */
  readonly certificates: readonly string[];
  /** What it asks of clients. */
  readonly clients?: ClientValidation;
  readonly tls: TlsOptions;
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

/** What a protocol carries. Listeners may share a port with others of their family. */
interface Protocol {
  readonly kinds: readonly RouteKind[];
  readonly tls: boolean;
  readonly family: string;
}

const protocols: Readonly<Record<string, Protocol>> = {
  HTTP: { kinds: httpKinds, tls: false, family: 'HTTP' },
  // Told apart by server name.
  HTTPS: { kinds: httpKinds, tls: true, family: 'TLS' },
  TLS: { kinds: kindsOf('TLSRoute'), tls: true, family: 'TLS' },
  TCP: { kinds: kindsOf('TCPRoute'), tls: false, family: 'TCP' },
  UDP: { kinds: kindsOf('UDPRoute'), tls: false, family: 'UDP' },
};

/** What a waypoint carries: all of its Services behind one listener. */
const waypointProtocol = { kinds: [...httpKinds, ...kindsOf('TLSRoute', 'TCPRoute')], tls: false, family: 'HBONE' };

/** Undefined: nothing serves such a listener there. */
function protocolOf(l: Pick<Listener, 'protocol'>, waypoint?: WaypointEntrance): Protocol | undefined {
  if (!waypoint) return ownValue(protocols, l.protocol);
  return l.protocol === hboneProtocol || (l.protocol === proxyProtocol && !waypoint.hbone) ? waypointProtocol : undefined;
}

/** TCP and UDP have ports of their own. */
export function transportOf(protocol: string): 'tcp' | 'udp' {
  return protocol === 'UDP' ? 'udp' : 'tcp';
}

/** True when both are served by the same listener of the proxy. */
export function samePort(a: Pick<GatewayListener, 'port' | 'protocol'>, b: Pick<GatewayListener, 'port' | 'protocol'>): boolean {
  return a.port === b.port && transportOf(a.protocol) === transportOf(b.protocol);
}

/** A hostname of a TCP or UDP listener means nothing (Gateway API: Listener.hostname). */
function hasHosts(protocol: string): boolean {
  return protocol !== 'TCP' && protocol !== 'UDP';
}

/** True when HTTP is spoken behind the listener: requests find their routes by host. */
export function isHttp(l: Pick<GatewayListener, 'protocol'>): boolean {
  return l.protocol === 'HTTP' || l.protocol === 'HTTPS';
}

/** Ports of a proxy Pod that are its own. */
const reservedPorts: Readonly<Record<number, string>> = {
  8082: 'readiness of the proxy',
  9091: 'metrics of the proxy',
  15000: 'administration of the proxy',
};

export interface ListenerInputs {
  readonly tlsSecrets: Collection<SecretState>;
  readonly grants: Grants;
  /** What HTTPS listeners ask of clients. */
  readonly clients: FrontendValidations;
}

/** The Gateway of listeners, as far as they depend on it. */
export interface ListenerOwner {
  readonly ref: ObjectRef;
  /** Its ListenerSets that it allows, in the order of their precedence. */
  readonly sets: readonly ListenerSetView[];
  /** Only of a Gateway of a class of waypoints. */
  readonly waypoint?: WaypointEntrance;
}

/** A listener with the object that it stands in. */
interface OwnedListener {
  readonly spec: Listener;
  readonly ref: ObjectRef;
  readonly set?: ListenerSetView;
}

/** Translates all listeners of a Gateway and behind them those of its ListenerSets. Source: Gateway API, GatewaySpec.listeners, ListenerSet. */
export function translateListeners(
  ctx: Ctx,
  inputs: ListenerInputs,
  owner: ListenerOwner,
  listeners: readonly Listener[],
): GatewayListener[] {
  const all: readonly OwnedListener[] = [
    ...listeners.map((spec) => ({ spec, ref: owner.ref })),
    ...owner.sets.flatMap((set) => set.listeners.map((spec) => ({ spec, ref: set.ref, set }))),
  ];
  const conflicts = conflictsOf(all.map((l) => l.spec));
  return all.map((l, i) => translateListener(ctx, inputs, owner, l, conflicts[i]));
}

/** The listener as part of its object, for what refers to it. */
export function listenerOrigin(l: GatewayListener): ObjectRef {
  return { ...l.owner, section: l.name };
}

function translateListener(
  ctx: Ctx,
  inputs: ListenerInputs,
  { waypoint }: ListenerOwner,
  { spec: l, ref, set }: OwnedListener,
  conflict: ConditionIntent | undefined,
): GatewayListener {
  const key = set ? `${ref.kind === 'XListenerSet' ? 'X/' : ''}${ref.namespace}/${ref.name}/${l.name}` : l.name;
  const hostname = l.hostname && hasHosts(l.protocol) ? l.hostname.toLowerCase() : anyHost;
  const base = {
    name: l.name,
    owner: ref,
    key,
    ...(set && { setLabels: set.labels }),
    port: l.port,
    protocol: l.protocol,
    hostname,
    passthrough: l.protocol === 'TLS' && l.tls?.mode === 'Passthrough',
    chain: waypoint ? waypointChain : chainName(l, key),
    namespaces: l.allowedRoutes?.namespaces ?? { from: 'Same' as const },
  };
  const protocol = protocolOf(l, waypoint);
  const needsCertificate = protocol?.tls === true && !base.passthrough;
  const { options, problems } = tlsOptions(needsCertificate ? l.tls?.options : {}, 'tls.options');
  const validation = l.protocol === 'HTTPS' ? inputs.clients(l.port) : undefined;
  const clients = withClientOptions(validation?.clients, options);
  const refused =
    (set && conflict ? condition.conflicted('Accepted', conflict) : undefined) ??
    unservable(l, waypoint) ??
    (conflict ? condition.invalid(conflict.message) : undefined) ??
    (validation && !validation.clients ? condition.noValidCa(validation.problem?.message ?? '') : undefined) ??
    (problems.length > 0 ? condition.invalid(describeProblems(problems)) : undefined) ??
    (typeof clients === 'string' ? condition.invalid(clients) : undefined);
  const { kinds, invalidKinds } = allowedKinds(protocol?.kinds ?? [], l.allowedRoutes?.kinds);
  const tls = needsCertificate ? resolveCertificates(ctx, inputs, ref, l.tls?.certificateRefs ?? []) : { secrets: [] };
  const resolvedRefs =
    tls.problem ??
    validation?.problem ??
    (needsCertificate && tls.secrets.length === 0
      ? condition.invalidCertificateRef('spec.listeners.tls.certificateRefs is empty; name a Secret of type kubernetes.io/tls')
      : invalidKinds.length > 0
        ? condition.invalidRouteKinds(invalidKinds)
        : condition.resolvedRefs);
  const valid = !refused && (!needsCertificate || tls.secrets.length > 0);
  const notProgrammed =
    conflict && set ? condition.conflicted('Programmed', conflict) : condition.notProgrammed((refused ?? resolvedRefs).message);
  return {
    ...base,
    certificates: tls.secrets,
    ...(clients && typeof clients !== 'string' && { clients }),
    tls: options,
    kinds,
    valid,
    conditions: [
      refused ?? condition.accepted,
      conflict ?? condition.noConflicts,
      resolvedRefs,
      valid ? condition.programmed : notProgrammed,
    ],
  };
}

/** Why nothing could serve the listener, whatever stands beside it. */
function unservable(l: Listener, waypoint: WaypointEntrance | undefined): ConditionIntent | undefined {
  if (!protocolOf(l, waypoint)) {
    return waypoint ? condition.notForWaypoint(l.protocol, waypoint) : condition.unsupportedProtocol(l.protocol);
  }
  const misplaced = waypoint && entranceProblem(l, waypoint);
  if (misplaced !== undefined) return condition.invalid(misplaced);
  if (l.port === 0) return condition.unsupportedPort;
  const use = transportOf(l.protocol) === 'tcp' ? reservedPorts[l.port] : undefined;
  return use === undefined ? undefined : condition.portUnavailable(l.port, use);
}

function chainName(l: Listener, key: string): string {
  if (l.protocol === 'HTTPS') return httpsChain(l.port, key);
  return l.protocol === 'TLS' ? `tls-${l.port}-${key}` : `${l.protocol.toLowerCase()}-${l.port}`;
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

/**
 * Two listeners of a port clash when their protocols cannot share it or their hostnames are equal; the first one keeps the port. TCP and UDP
 * have no hostnames: one listener a port (Gateway API: Gateway.spec.listeners).
 */
function conflictsOf(listeners: readonly Listener[]): readonly (ConditionIntent | undefined)[] {
  const ports = new Map<string, { readonly family: string; readonly hostnames: Set<string> }>();
  return listeners.map((l) => {
    const protocol = protocolOf(l);
    if (!protocol) return undefined;
    const place = `${transportOf(l.protocol)}/${l.port}`;
    const hostname = l.hostname?.toLowerCase() ?? anyHost;
    const taken = ports.get(place);
    if (!taken) {
      ports.set(place, { family: protocol.family, hostnames: new Set([hostname]) });
      return undefined;
    }
    if (taken.family !== protocol.family || !hasHosts(l.protocol)) return condition.protocolConflict;
    if (taken.hostnames.has(hostname)) return condition.hostnameConflict;
    taken.hostnames.add(hostname);
    return undefined;
  });
}
