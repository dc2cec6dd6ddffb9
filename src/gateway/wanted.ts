/**
 * Which Secrets and ConfigMaps are read: those that an object of ours refers to and may read, and no other.
 *
 *   [Gateway, ListenerSet] certificates, client certificate, CAs ─┐
 *   [TrafficPolicy] values of headers, [Backend] credentials ──────┤
 *   [DestinationRule] credentials at waypoints ───────────────────┤
 *   [BackendTLSPolicy] CAs of backends ───────────────────────────┴─> WantedSecrets, WantedConfigMaps
 */
import { type Collection, type Ctx, type Graph, count, flatMap, join, map, source } from '../krt/index.ts';
import type { Namespace } from '../kube/types/core.ts';
import type {
  BackendTLSPolicy,
  Gateway,
  GatewayClass,
  Listener,
  ReferenceGrant,
  SecretObjectReference,
} from '../kube/types/gateway-api.ts';
import type { DestinationRule } from '../kube/types/istio-networking.ts';
import { keyOf } from '../kube/types/meta.ts';
import { type CaRef, caKind } from './ca-certificate.ts';
import type { Backend } from '../policy/backend/schema.ts';
import type { TrafficPolicy } from '../policy/trafficpolicy/schema.ts';
import { gatewayGroup } from './conditions.ts';
import { isOurs } from './gateway.ts';
import { frontendCaRefs } from './gateway-tls.ts';
import { headerSecretRefs, readableSecret } from './header-secret.ts';
import { type ListenerSetObject, type ListenerSets, listenerSetsOf, setsOfGateway } from './listenerset.ts';
import { readableCertificate } from './listener-certificate.ts';
import { type GrantSubject, type Grants, grantsOf, readableKey } from './referencegrant.ts';
import { caSecretOf, credentialNames, readableCredential } from './rule-credential.ts';
import { isWaypointClass } from './waypoint-class.ts';

export interface WantedInputs {
  readonly classes: Collection<GatewayClass>;
  readonly gateways: Collection<Gateway>;
  readonly backendTlsPolicies: Collection<BackendTLSPolicy>;
  readonly trafficPolicies: Collection<TrafficPolicy>;
  readonly backends: Collection<Backend>;
  readonly referenceGrants: Collection<ReferenceGrant>;
  readonly listenerSets: Collection<ListenerSetObject>;
  readonly namespaces: Collection<Namespace>;
  readonly destinationRules: Collection<DestinationRule>;
}

/** Keys, `namespace/name`. */
export type WantedKeys = Collection<{ readonly key: string }>;

export interface Wanted {
  readonly secrets: WantedKeys;
  readonly configMaps: WantedKeys;
}

interface Reference {
  readonly from: string;
  readonly kind: 'Secret' | 'ConfigMap';
  readonly object: string;
}

/** Collects the references. `always` are ConfigMaps that the controller itself refers to. */
export function wantedObjects(g: Graph, inputs: WantedInputs, always: readonly string[]): Wanted {
  const grants = grantsOf(inputs.referenceGrants);
  const sets = listenerSetsOf(inputs.listenerSets, inputs.namespaces);
  const key = (r: Reference): string => `${r.from}|${r.kind}|${r.object}`;
  const ofGateways = flatMap(g, inputs.gateways, { name: 'GatewayReferences', key }, (ctx, gateway) =>
    isOurs(ctx.fetchOne(inputs.classes, gateway.spec.gatewayClassName)) ? gatewayReferences(ctx, grants, sets, gateway) : [],
  );
  const ofPolicies = flatMap(g, inputs.backendTlsPolicies, { name: 'BackendTLSPolicyReferences', key }, (ctx, policy) => {
    const from = { group: gatewayGroup, kind: 'BackendTLSPolicy', namespace: policy.metadata.namespace ?? '' };
    return distinct(caReferences(ctx, grants, from, keyOf(policy), policy.spec.validation.caCertificateRefs ?? []));
  });
  const ofHeaders = flatMap(g, inputs.trafficPolicies, { name: 'TrafficPolicyReferences', key }, (ctx, policy) =>
    distinct(
      headerSecretRefs(policy).flatMap((ref): Reference[] => {
        const object = readableSecret(ctx, grants, policy.metadata.namespace ?? '', ref);
        return object === undefined ? [] : [{ from: `TrafficPolicy ${keyOf(policy)}`, kind: 'Secret', object }];
      }),
    ),
  );
  const ofBackends = map(g, inputs.backends, { name: 'BackendReferences', key }, (_ctx, { metadata, spec }): Reference | undefined => {
    const secret = spec.aws?.auth?.secretRef?.name;
    return secret
      ? { from: `Backend ${metadata.namespace}/${metadata.name}`, kind: 'Secret', object: `${metadata.namespace}/${secret}` }
      : undefined;
  });
  const waypoints = map(g, inputs.gateways, { name: 'WaypointGateways' }, (ctx, gateway) => {
    const gatewayClass = ctx.fetchOne(inputs.classes, gateway.spec.gatewayClassName);
    if (!isOurs(gatewayClass) || !isWaypointClass(gatewayClass)) return undefined;
    return { key: keyOf(gateway), namespace: gateway.metadata.namespace ?? '' };
  });
  const waypointNamespaces = count(
    g,
    { name: 'WaypointsByNamespace' },
    waypoints.index('namespace', (w) => [w.namespace]),
  );
  const ofRules = flatMap(g, inputs.destinationRules, { name: 'DestinationRuleReferences', key }, (ctx, rule) =>
    ruleReferences(ctx, waypointNamespaces, grants, rule),
  );
  const ofController = source<Reference>(g, { name: 'ControllerReferences', key });
  ofController.reset(always.map((object) => ({ from: 'the controller', kind: 'ConfigMap', object })));
  ofController.markSynced();
  const references = join(g, { name: 'References' }, [ofController, ofGateways, ofPolicies, ofHeaders, ofBackends, ofRules]);
  const wanted = (kind: Reference['kind'], name: string): WantedKeys => {
    const objects = count(
      g,
      { name: `${kind}References` },
      references.index(kind, (r) => (r.kind === kind ? [r.object] : [])),
    );
    return map(g, objects, { name }, (_ctx, { key: object }) => ({ key: object }));
  };
  return { secrets: wanted('Secret', 'WantedSecrets'), configMaps: wanted('ConfigMap', 'WantedConfigMaps') };
}

function gatewayReferences(ctx: Ctx, grants: Grants, listenerSets: ListenerSets, gateway: Gateway): readonly Reference[] {
  const namespace = gateway.metadata.namespace ?? '';
  const from = `Gateway ${keyOf(gateway)}`;
  const subject = { group: gatewayGroup, kind: 'Gateway', namespace };
  const certificates = (referrer: GrantSubject, refs: readonly SecretObjectReference[]): readonly Reference[] =>
    refs.flatMap((ref): Reference[] => {
      const object = readableCertificate(ctx, grants, referrer, ref);
      return object === undefined ? [] : [{ from, kind: 'Secret', object }];
    });
  const ofListeners = (listeners: readonly Listener[]) => listeners.flatMap((l) => l.tls?.certificateRefs ?? []);
  const client = gateway.spec.tls?.backend?.clientCertificateRef;
  const sets = setsOfGateway(ctx, listenerSets, gateway).filter((set) => set.allowed);
  return distinct([
    ...certificates(subject, [...ofListeners(gateway.spec.listeners), ...(client ? [client] : [])]),
    ...sets.flatMap((set) => certificates(set.ref, ofListeners(set.listeners))),
    ...caReferences(ctx, grants, subject, from, frontendCaRefs(gateway.spec.tls)),
  ]);
}

/** Those that the rule may read in namespaces of waypoints. */
function ruleReferences(ctx: Ctx, waypointNamespaces: WantedKeys, grants: Grants, rule: DestinationRule): readonly Reference[] {
  const names = credentialNames(rule);
  if (names.length === 0) return [];
  const readable = ctx
    .fetch(waypointNamespaces)
    .flatMap(({ key }) =>
      names.flatMap((name) =>
        [name, caSecretOf(name)].flatMap((n) => readableCredential(ctx, grants, rule.metadata.namespace ?? '', key, n) ?? []),
      ),
    );
  return distinct(readable.map((object): Reference => ({ from: `DestinationRule ${keyOf(rule)}`, kind: 'Secret', object })));
}

function caReferences(ctx: Ctx, grants: Grants, subject: GrantSubject, from: string, refs: readonly CaRef[]): readonly Reference[] {
  return refs.flatMap((ref): Reference[] => {
    const kind = caKind(ref);
    const object = kind && readableKey(ctx, grants, subject, { ...ref, kind });
    return kind && object !== undefined ? [{ from, kind, object }] : [];
  });
}

function distinct(references: readonly Reference[]): readonly Reference[] {
  return [...new Map(references.map((r) => [`${r.kind}|${r.object}`, r])).values()];
}
