/**
 * Ingress to waypoint (`istio.io/ingress-use-waypoint`).
 *
 *   Gateways, their Pods ─ captured by ztunnel ─> MeshSenders
 *   ServiceBindings ─ bound, and wants it ──────> IngressAddresses: what those proxies dial instead of endpoints
 */
import type { GatewayView } from '../gateway/gateway.ts';
import { type MeshSender, type ServiceAddress, familyOf } from '../ir/mesh-sender.ts';
import type { LabelledService } from '../istio/services.ts';
import { type Collection, type Ctx, type Graph, join, map } from '../krt/index.ts';
import type { Pod } from '../kube/types/core.ts';
import type { BindingOf, MeshNamespace } from './binding.ts';

/** What istio-cni writes on a Pod when its traffic goes through ztunnel. */
export const redirectionAnnotation = 'ambient.istio.io/redirection';

const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';

export interface IngressInputs {
  readonly gateways: Collection<GatewayView>;
  readonly pods: Collection<Pod>;
  /** Absent without a mesh: nothing goes to waypoints. */
  readonly mesh:
    { readonly services: Collection<BindingOf<LabelledService>>; readonly meshNamespaces: Collection<MeshNamespace> } | undefined;
}

export interface IngressToWaypoint {
  /** By Gateway. */
  readonly meshSenders: Collection<MeshSender>;
  /** By Service. */
  readonly ingressAddresses: Collection<ServiceAddress>;
}

/** Builds the collections. `podLabel` is how Pods refer to the name of their Gateway. */
export function ingressToWaypoint(g: Graph, inputs: IngressInputs, podLabel: (gateway: string) => string): IngressToWaypoint {
  const { mesh } = inputs;
  if (!mesh) return { meshSenders: join(g, { name: 'MeshSenders' }, []), ingressAddresses: join(g, { name: 'IngressAddresses' }, []) };
  const byGateway = inputs.pods.index('gateway', ({ metadata: { namespace, labels = {} } }) =>
    labels[gatewayNameLabel] === undefined ? [] : [`${namespace}/${labels[gatewayNameLabel]}`],
  );
  const meshSenders = map(g, inputs.gateways, { name: 'MeshSenders', key: (s: MeshSender) => s.scope }, (ctx, view) => {
    // A waypoint that sent to the address of a Service would be sent back to itself.
    if (view.waypoint) return undefined;
    const pods = ctx.fetch(byGateway.collection, { index: byGateway, is: `${view.ref.namespace}/${podLabel(view.ref.name)}` });
    return senderOf(view.key, pods);
  });
  const ingressAddresses = map(
    g,
    mesh.services,
    { name: 'IngressAddresses', key: (a: ServiceAddress) => a.service },
    (ctx, { of, binding }): ServiceAddress | undefined => {
      const { kind, namespace, name, addresses } = of.service;
      // A headless Service has no address that could lead to its waypoint (Istio: it is reached directly).
      if (binding.state !== 'bound' || kind !== 'Service' || addresses.length === 0) return undefined;
      return wantsIngress(ctx, mesh.meshNamespaces, of) ? { service: `${namespace}/${name}`, addresses } : undefined;
    },
  );
  return { meshSenders, ingressAddresses };
}

/** Captured as soon as one Pod is: past a waypoint nobody is to get while Pods are replaced. Undefined when none is. */
function senderOf(scope: string, pods: readonly Pod[]): MeshSender | undefined {
  const running = pods.filter(
    (p) => (p.status?.podIPs ?? []).length > 0 && p.status?.phase !== 'Succeeded' && p.status?.phase !== 'Failed',
  );
  const captured = running.filter(isCaptured);
  if (captured.length === 0) return undefined;
  const addresses = captured.flatMap((p) => p.status?.podIPs ?? []);
  const families = [...new Set(addresses.map(({ ip }) => familyOf(ip)))].sort();
  return { scope, families, whole: captured.length === running.length };
}

/** True when ztunnel has the traffic of the Pod. */
export function isCaptured({ metadata: { annotations } }: Pod): boolean {
  return annotations?.[redirectionAnnotation] === 'enabled';
}

/** The label of the object decides, whatever its value; else that of the namespace (Istio: ingressUseWaypointFromLabels). */
function wantsIngress(ctx: Ctx, namespaces: Collection<MeshNamespace>, { service, labels }: LabelledService): boolean {
  const value = labels.ingressUse ?? ctx.fetchOne(namespaces, service.namespace)?.waypoint.ingressUse;
  return value?.toLowerCase() === 'true';
}
