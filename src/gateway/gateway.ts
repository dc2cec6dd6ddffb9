/**
 * Gateways of our classes.
 *
 *   [GatewayClass] -> [Gateway] -> [GatewayListener]* -> ProxyListener (proxy-listener.ts), TlsCertificate
 */
import type { TlsCertificate } from '../ir/listener.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { Collection, Ctx } from '../krt/index.ts';
import { type KubeObject, keyOf } from '../kube/types/meta.ts';
import type { Gateway, GatewayClass, GatewaySpecAddress } from '../kube/types/gateway-api.ts';
import { kgatewayGroup } from '../policy/schema.ts';
import { controllerName, gatewayGroup, gateway as condition } from './conditions.ts';
import type { CaInputs } from './ca-certificate.ts';
import type { CertificateInputs } from './listener-certificate.ts';
import { type GatewayListener, listenerOrigin, translateListeners } from './gateway-listener.ts';
import { type ListenerSets, type ListenerSetView, setsOfGateway } from './listenerset.ts';
import { backendClientCertificate, frontendValidations, insecureFrontend } from './gateway-tls.ts';
import { type WaypointEntrance, isWaypointClass, waypointEntrance, waypointProblem } from './waypoint-class.ts';

export interface GatewayView {
  /** `namespace/name`, also the scope of its proxies. */
  readonly key: string;
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly generation: number;
  readonly className: string;
  /** True when its class is one of waypoints: it serves Services of the mesh instead of ports. */
  readonly waypoint: boolean;
  /** Of a waypoint alone. */
  readonly entrance?: WaypointEntrance;
  /** Of the Gateway itself and behind them those of its ListenerSets. */
  readonly listeners: readonly GatewayListener[];
  readonly sets: readonly ListenerSetView[];
  readonly addresses: readonly GatewaySpecAddress[];
  /** Of the object, for policies that select by labels. */
  readonly objectLabels: Readonly<Record<string, string>>;
  /** `spec.infrastructure.labels`: for everything that is generated. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** `namespace/name` of the GatewayParameters that it names. */
  readonly parameters?: string;
  readonly classParameters?: string;
  /**
   * False: its proxies are left as they are, those that run serve on. Only how they are deployed is in doubt then (parameters, addresses), or there is
   * no valid listener; so what they serve depends on `valid` of each listener alone, also after a restart of the controller.
   */
  readonly accepted: boolean;
  /** The condition `Accepted`. */
  readonly acceptance: ConditionIntent;
  /** Key of the Secret that its proxies show to backends that speak TLS. */
  readonly clientCertificate?: string;
  /** The condition `ResolvedRefs` when a reference of the whole Gateway does not resolve. */
  readonly unresolved?: ConditionIntent;
  /** Further conditions. */
  readonly warnings: readonly ConditionIntent[];
}

export interface GatewayInputs extends CaInputs, CertificateInputs {
  readonly classes: Collection<GatewayClass>;
  readonly listenerSets: ListenerSets;
  readonly parameters: Collection<KubeObject>;
  /** False: Gateways of classes of waypoints are refused. */
  readonly waypoints: boolean;
}

/** Names the Gateway of a key. */
export function gatewayRef(key: string): ObjectRef {
  const [namespace = '', name = ''] = key.split('/');
  return { group: gatewayGroup, kind: 'Gateway', namespace, name };
}

/** True when the class is ours: any class that names our controller. */
export function isOurs(gatewayClass: GatewayClass | undefined): boolean {
  return gatewayClass?.spec.controllerName === controllerName;
}

/** Translates a Gateway; undefined when its class is not ours. */
export function translateGateway(ctx: Ctx, inputs: GatewayInputs, gateway: Gateway): GatewayView | undefined {
  const gatewayClass = ctx.fetchOne(inputs.classes, gateway.spec.gatewayClassName);
  if (!gatewayClass || !isOurs(gatewayClass)) return undefined;
  const namespace = gateway.metadata.namespace ?? '';
  const { spec } = gateway;
  const ref: ObjectRef = { group: gatewayGroup, kind: 'Gateway', namespace, name: gateway.metadata.name };
  const sets = setsOfGateway(ctx, inputs.listenerSets, gateway);
  const clients = frontendValidations(ctx, inputs, namespace, spec.tls);
  const clientCertificate = backendClientCertificate(ctx, inputs, namespace, spec.tls);
  const insecure = insecureFrontend(spec.tls);
  const waypoint = isWaypointClass(gatewayClass);
  const entrance = waypoint ? waypointEntrance(gateway, gatewayClass) : undefined;
  const listeners = translateListeners(
    ctx,
    { ...inputs, clients },
    { ref, sets: sets.filter((set) => set.allowed), ...(entrance && { waypoint: entrance }) },
    spec.listeners,
  );
  const parameters = parametersOf(ctx, inputs, gateway, gatewayClass);
  const problem = waypoint ? waypointProblem(gateway, inputs.waypoints) : undefined;
  const refused = problem === undefined ? undefined : condition.invalid(problem);
  const acceptance =
    refused ?? parameters.problem ?? addressProblem(spec.addresses) ?? listenerAcceptance(listeners.filter((l) => l.owner === ref));
  return {
    key: keyOf(gateway),
    ref,
    uid: gateway.metadata.uid ?? '',
    generation: gateway.metadata.generation ?? 0,
    className: spec.gatewayClassName,
    waypoint,
    ...(entrance && { entrance }),
    listeners,
    sets,
    addresses: spec.addresses ?? [],
    objectLabels: gateway.metadata.labels ?? {},
    labels: spec.infrastructure?.labels ?? {},
    annotations: spec.infrastructure?.annotations ?? {},
    ...(parameters.own !== undefined && { parameters: parameters.own }),
    ...(parameters.ofClass !== undefined && { classParameters: parameters.ofClass }),
    accepted: acceptance.status === 'True',
    acceptance,
    ...(clientCertificate.secret !== undefined && { clientCertificate: clientCertificate.secret }),
    ...(clientCertificate.problem && { unresolved: clientCertificate.problem }),
    warnings: insecure ? [insecure] : [],
  };
}

function listenerAcceptance(listeners: readonly GatewayListener[]): ConditionIntent {
  const invalid = listeners.filter((l) => l.conditions.some((c) => c.type === 'Accepted' && c.status === 'False'));
  if (invalid.length === 0) return condition.accepted;
  if (invalid.length === listeners.length) return condition.noValidListeners;
  return condition.someListenersInvalid(invalid.map((l) => `${l.name}: ${reasonOf(l)}`).join('; '));
}

function reasonOf(l: GatewayListener): string {
  return l.conditions.find((c) => c.type === 'Accepted')?.message ?? '';
}

/** IP addresses can be asked for, with or without a value (Gateway API: GatewaySpecAddress). */
function addressProblem(addresses: readonly GatewaySpecAddress[] = []): ConditionIntent | undefined {
  const unsupported = addresses.filter((a) => (a.type ?? 'IPAddress') !== 'IPAddress');
  if (unsupported.length === 0) return undefined;
  return condition.unsupportedAddress(`address types ${unsupported.map((a) => a.type).join(', ')} are not supported; use IPAddress`);
}

interface Parameters {
  readonly own?: string;
  readonly ofClass?: string;
  readonly problem?: ConditionIntent;
}

function parametersOf(ctx: Ctx, inputs: GatewayInputs, gateway: Gateway, gatewayClass: GatewayClass): Parameters {
  const ref = gateway.spec.infrastructure?.parametersRef;
  const own = ref && `${gateway.metadata.namespace}/${ref.name}`;
  const classRef = gatewayClass.spec.parametersRef;
  const ofClass = classRef?.kind === 'GatewayParameters' ? `${classRef.namespace}/${classRef.name}` : undefined;
  if (ref && (ref.group !== kgatewayGroup || ref.kind !== 'GatewayParameters')) {
    const why = `spec.infrastructure.parametersRef: ${ref.group}/${ref.kind} is not supported; use ${kgatewayGroup}/GatewayParameters`;
    return { problem: condition.invalidParameters(why) };
  }
  if (own !== undefined && !ctx.fetchOne(inputs.parameters, own)) {
    return { problem: condition.invalidParameters(`spec.infrastructure.parametersRef: GatewayParameters ${own} not found`) };
  }
  if (ofClass !== undefined && !ctx.fetchOne(inputs.parameters, ofClass)) {
    const why = `spec.parametersRef of GatewayClass ${gatewayClass.metadata.name}: GatewayParameters ${ofClass} not found`;
    return { problem: condition.invalidParameters(why) };
  }
  return { ...(own !== undefined && { own }), ...(ofClass !== undefined && { ofClass }) };
}

/** SDS name of a certificate. */
export function secretName(key: string): string {
  return `kubernetes://${key}`;
}

/** The certificates that the proxies of a Gateway may ask for. */
export function certificatesOf(view: GatewayView): readonly TlsCertificate[] {
  const origins = new Map<string, ObjectRef[]>();
  for (const l of view.listeners) {
    if (!l.valid) continue;
    for (const secret of l.certificates) origins.set(secret, [...(origins.get(secret) ?? []), listenerOrigin(l)]);
  }
  const client = view.clientCertificate;
  if (client !== undefined) origins.set(client, [...(origins.get(client) ?? []), view.ref]);
  return [...origins].map(([secret, refs]) => ({ scope: view.key, name: secretName(secret), secret, origins: refs }));
}
