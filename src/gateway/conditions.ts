/** Condition types, reasons and messages of the Gateway API objects, in one table. Wording as kgateway's, so that tools that grep keep working. */
import { type ObjectRef, describeRef } from '../ir/object-ref.ts';
import type { ConditionIntent } from '../ir/report.ts';
import type { WaypointEntrance } from './waypoint-class.ts';

export const controllerName = 'kgateway.dev/kgateway';

export const gatewayGroup = 'gateway.networking.k8s.io';

/** Makes a condition that holds. */
export function holds(type: string, reason: string, message: string): ConditionIntent {
  return { type, status: 'True', reason, message };
}

/** Makes a condition that does not hold. */
export function fails(type: string, reason: string, message: string): ConditionIntent {
  return { type, status: 'False', reason, message };
}

export const gatewayClassAccepted = holds('Accepted', 'Accepted', 'GatewayClass accepted by kgateway controller');
export const gatewayClassSupportedVersion = holds('SupportedVersion', 'SupportedVersion', 'Gateway API CRD version is supported');

export const gateway = {
  accepted: holds('Accepted', 'Accepted', 'Successfully accepted Gateway'),
  someListenersInvalid: (why: string): ConditionIntent =>
    holds('Accepted', 'ListenersNotValid', `Some listeners are not programmed: ${why}`),
  noValidListeners: fails('Accepted', 'ListenersNotValid', 'No valid listeners'),
  invalid: (why: string): ConditionIntent => fails('Accepted', 'Invalid', why),
  invalidParameters: (why: string): ConditionIntent => fails('Accepted', 'InvalidParameters', why),
  unsupportedAddress: (why: string): ConditionIntent => fails('Accepted', 'UnsupportedAddress', why),
  programmed: holds('Programmed', 'Programmed', 'Successfully programmed Gateway'),
  addressNotAssigned: fails('Programmed', 'AddressNotAssigned', 'Waiting for the Service of the proxy to get an address'),
  podNotReady: fails(
    'Programmed',
    'AddressNotAssigned',
    'Waiting for a Pod of the waypoint to be ready: until then its Services are reached without it, and without their policies',
  ),
  addressNotUsable: (why: string): ConditionIntent => fails('Programmed', 'AddressNotUsable', why),
  notProgrammed: (why: string): ConditionIntent => fails('Programmed', 'Invalid', why),
  resolvedRefs: holds('ResolvedRefs', 'ResolvedRefs', 'Successfully resolved all Gateway references'),
  invalidClientCertificate: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidClientCertificateRef', why),
  clientCertificateNotPermitted: (why: string): ConditionIntent => fails('ResolvedRefs', 'RefNotPermitted', why),
  insecureFrontendValidation: (where: string): ConditionIntent =>
    holds(
      'InsecureFrontendValidationMode',
      'ConfigurationChanged',
      `${where}: AllowInsecureFallback lets clients in without a valid certificate; AllowValidOnly does not`,
    ),
  listenerSetsAttached: (count: number): ConditionIntent =>
    holds('AttachedListenerSets', 'ListenerSetsAttached', `${count} ListenerSet${count === 1 ? '' : 's'} attached`),
  noListenerSets: fails('AttachedListenerSets', 'NoListenerSetsAttached', 'No ListenerSet is attached'),
  listenerSetsNotAllowed: {
    type: 'AttachedListenerSets',
    status: 'Unknown',
    reason: 'ListenerSetsNotAllowed',
    message: 'ListenerSets name the Gateway, which allows none; see spec.allowedListeners',
  },
  listenersNotResolved: fails('ResolvedRefs', 'ListenersNotResolved', 'One or more listeners have unresolved references'),
} as const;

export const listener = {
  accepted: holds('Accepted', 'Accepted', 'Successfully accepted Listener'),
  unsupportedProtocol: (protocol: string): ConditionIntent =>
    fails('Accepted', 'UnsupportedProtocol', `Protocol ${protocol} is unsupported.`),
  notForWaypoint: (protocol: string, { hbone, port }: WaypointEntrance): ConditionIntent =>
    fails(
      'Accepted',
      'UnsupportedProtocol',
      hbone
        ? `Protocol ${protocol} is unsupported. Only a 'HBONE' listener is allowed for waypoints that end HBONE: use protocol HBONE on port ${port}`
        : `Protocol ${protocol} is unsupported. Only a 'istio.io/PROXY' listener is allowed for waypoints: use protocol istio.io/PROXY on port ${port}`,
    ),
  portUnavailable: (port: number, use: string): ConditionIntent =>
    fails('Accepted', 'PortUnavailable', `invalid port ${port} in listener: port is reserved for ${use}; choose another port`),
  /** Of XListenerSets, which may leave the port to us. */
  unsupportedPort: fails('Accepted', 'UnsupportedPort', 'A port of 0 asks for any free port, which is not supported; set one'),
  invalid: (why: string): ConditionIntent => fails('Accepted', 'Invalid', why),
  /** On listeners of ListenerSets, which say it with the reason of the conflict. */
  conflicted: (type: 'Accepted' | 'Programmed', { reason, message }: ConditionIntent): ConditionIntent => fails(type, reason, message),
  noConflicts: fails('Conflicted', 'NoConflicts', 'Successfully verified that Listener has no conflicts'),
  hostnameConflict: holds(
    'Conflicted',
    'HostnameConflict',
    'Found conflicting hostnames on listeners, all listeners on a single port must have unique hostnames',
  ),
  protocolConflict: holds(
    'Conflicted',
    'ProtocolConflict',
    'Found conflicting protocols on listeners, a single port can only contain listeners with compatible protocols',
  ),
  resolvedRefs: holds('ResolvedRefs', 'ResolvedRefs', 'Successfully resolved all references'),
  invalidRouteKinds: (kinds: readonly string[]): ConditionIntent =>
    fails('ResolvedRefs', 'InvalidRouteKinds', `Found invalid route kinds: [${kinds.join(', ')}]`),
  invalidCertificateRef: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidCertificateRef', why),
  refNotPermitted: (why: string): ConditionIntent => fails('ResolvedRefs', 'RefNotPermitted', why),
  invalidCaRef: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidCACertificateRef', why),
  invalidCaKind: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidCACertificateKind', why),
  noValidCa: (why: string): ConditionIntent => fails('Accepted', 'NoValidCACertificate', why),
  programmed: holds('Programmed', 'Programmed', 'Successfully programmed Listener'),
  notProgrammed: (why: string): ConditionIntent => fails('Programmed', 'Invalid', why),
} as const;

export const listenerSet = {
  accepted: holds('Accepted', 'Accepted', 'Successfully accepted ListenerSet'),
  someListenersInvalid: (why: string): ConditionIntent =>
    holds('Accepted', 'ListenersNotValid', `Some listeners are not programmed: ${why}`),
  noValidListeners: (why: string): ConditionIntent => fails('Accepted', 'ListenersNotValid', `No valid listeners: ${why}`),
  notAllowed: fails('Accepted', 'NotAllowed', 'Unable to attach to parent, gateway has not enabled allowedListeners for this namespace'),
  programmed: holds('Programmed', 'Programmed', 'Successfully programmed ListenerSet'),
  notProgrammed: (reason: 'NotAllowed' | 'ListenersNotValid' | 'Invalid', why: string): ConditionIntent => fails('Programmed', reason, why),
} as const;

/** Of BackendTLSPolicies. */
export const backendTls = {
  accepted: holds('Accepted', 'Accepted', 'Policy accepted'),
  noValidCa: (why: string): ConditionIntent =>
    fails('Accepted', 'NoValidCACertificate', `${why}; requests to the backend are answered with 503`),
  unsupportedCertificates: (name: string): ConditionIntent =>
    fails('Accepted', 'Invalid', `spec.validation.wellKnownCACertificates: ${name} is not supported; use System`),
  conflicted: (winner: ObjectRef, target: string): ConditionIntent =>
    fails('Accepted', 'Conflicted', `Policy conflicts with higher priority policy: ${describeRef(winner)} has the target ${target}`),
  targetNotFound: (why: string): ConditionIntent => fails('Accepted', 'TargetNotFound', why),
  resolvedRefs: holds('ResolvedRefs', 'ResolvedRefs', 'Resolved all references'),
  invalidKind: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidKind', why),
  invalidCaRef: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidCACertificateRef', why),
} as const;

/** Of Backends. */
export const backend = {
  accepted: holds('Accepted', 'Accepted', 'Backend accepted'),
  invalid: (why: string): ConditionIntent => fails('Accepted', 'Invalid', `Backend error: ${why}`),
} as const;

export const route = {
  accepted: holds('Accepted', 'Accepted', 'Successfully accepted Route'),
  noMatchingParent: (why: string): ConditionIntent => fails('Accepted', 'NoMatchingParent', why),
  notAllowed: (why: string): ConditionIntent => fails('Accepted', 'NotAllowedByListeners', why),
  noMatchingHostname: (why: string): ConditionIntent => fails('Accepted', 'NoMatchingListenerHostname', why),
  hostnameConflict: (why: string): ConditionIntent => fails('Accepted', 'HostnameConflict', why),
  unsupportedValue: (why: string): ConditionIntent => fails('Accepted', 'UnsupportedValue', why),
  partiallyInvalid: (why: string): ConditionIntent => holds('PartiallyInvalid', 'UnsupportedValue', why),
  resolvedRefs: holds('ResolvedRefs', 'ResolvedRefs', 'Successfully resolved all references'),
  unresolved: (reason: string, why: string): ConditionIntent => fails('ResolvedRefs', reason, why),
  programmed: holds('kgateway.dev/Programmed', 'Programmed', 'Successfully programmed Route'),
  notProgrammed: (reason: 'RouteRuleDropped' | 'RouteRuleReplaced' | 'Rejected' | 'InvalidAnnotation', why: string): ConditionIntent =>
    fails('kgateway.dev/Programmed', reason, why),
} as const;

/** Of InferencePools, for each Gateway. */
export const inferencePool = {
  accepted: holds('Accepted', 'Accepted', 'InferencePool accepted by the Gateway'),
  pickerMissing: fails(
    'Accepted',
    'EndpointPickerRefMissing',
    'spec.endpointPickerRef is required: name the Service of an endpoint picker. To balance Pods without one, use a Service',
  ),
  notSupported: fails(
    'Accepted',
    'NotSupportedByParent',
    'Waypoints that end HBONE themselves cannot follow an endpoint picker, and answer 500; use the class kgateway-waypoint',
  ),
  routeNotAccepted: fails(
    'Accepted',
    'HTTPRouteNotAccepted',
    'The Gateway accepts none of the routes that lead here: see their conditions Accepted',
  ),
  resolvedRefs: holds('ResolvedRefs', 'ResolvedRefs', 'Successfully resolved all references'),
  invalidPicker: (why: string): ConditionIntent => fails('ResolvedRefs', 'InvalidExtensionRef', why),
} as const;

/** Reasons of `ResolvedRefs=False` on routes. */
export type UnresolvedReason = 'RefNotPermitted' | 'InvalidKind' | 'BackendNotFound' | 'UnsupportedProtocol';
