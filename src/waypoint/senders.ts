/**
 * How proxies send into the mesh.
 *
 *   Gateways, their Pods ─ captured by ztunnel, or waypoints that end HBONE ─> MeshSenders
 *   ServiceBindings ─ bound, with istio.io/ingress-use-waypoint ─> IngressAddresses: what a captured ingress dials instead of endpoints
 *   Pods ─ that take HBONE ─> HboneWorkloads
 */
import type { GatewayView } from '../gateway/gateway.ts';
import { type HboneWorkload, type MeshSender, type ServiceAddress, familyOf } from '../ir/mesh-sender.ts';
import { type Mesh, trustDomainsOf } from '../istio/mesh.ts';
import type { LabelledService } from '../istio/services.ts';
import { type Collection, type Ctx, type Graph, type Index, join, map } from '../krt/index.ts';
import type { Pod } from '../kube/types/core.ts';
import { keyOf } from '../kube/types/meta.ts';
import type { BindingOf, MeshNamespace } from './binding.ts';

/** What istio-cni writes on a Pod when its traffic goes through ztunnel. */
const redirectionAnnotation = 'ambient.istio.io/redirection';
/** On a Pod that speaks HBONE itself. */
const tunnelLabel = 'networking.istio.io/tunnel';

const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';

export interface SenderInputs {
  readonly gateways: Collection<GatewayView>;
  readonly pods: Collection<Pod>;
  /** Absent without a mesh: nothing takes part in it. */
  readonly mesh:
    { readonly services: Collection<BindingOf<LabelledService>>; readonly meshNamespaces: Collection<MeshNamespace> } | undefined;
  /** The MeshConfig in use. */
  readonly meshConfig: (ctx: Ctx) => Mesh | undefined;
}

export interface MeshSenders {
  /** By Gateway. */
  readonly meshSenders: Collection<MeshSender>;
  /** By Service. */
  readonly ingressAddresses: Collection<ServiceAddress>;
  /** By address. */
  readonly hboneWorkloads: Index<HboneWorkload>;
}

/** Builds the collections. `podLabel` is how Pods refer to the name of their Gateway. */
export function sendersOf(g: Graph, inputs: SenderInputs, podLabel: (gateway: string) => string): MeshSenders {
  const { mesh } = inputs;
  if (!mesh) {
    return {
      meshSenders: join(g, { name: 'MeshSenders' }, []),
      ingressAddresses: join(g, { name: 'IngressAddresses' }, []),
      hboneWorkloads: join<HboneWorkload>(g, { name: 'HboneWorkloads' }, []).index('address', (w) => w.addresses),
    };
  }
  const byGateway = inputs.pods.index('gateway', ({ metadata: { namespace, labels = {} } }) =>
    labels[gatewayNameLabel] === undefined ? [] : [`${namespace}/${labels[gatewayNameLabel]}`],
  );
  const meshSenders = map(g, inputs.gateways, { name: 'MeshSenders', key: (s: MeshSender) => s.scope }, (ctx, view) => {
    if (view.entrance?.hbone) return { by: 'hbone' as const, scope: view.key, trustDomains: trustDomainsOf(inputs.meshConfig(ctx)) };
    // A waypoint that sent to the address of a Service would be sent back to itself.
    if (view.waypoint) return undefined;
    const pods = ctx.fetch(byGateway.collection, { index: byGateway, is: `${view.ref.namespace}/${podLabel(view.ref.name)}` });
    return capturedIngress(view.key, pods);
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
  const hboneWorkloads = map(g, inputs.pods, { name: 'HboneWorkloads' }, (_ctx, pod) => hboneWorkload(pod));
  return { meshSenders, ingressAddresses, hboneWorkloads: hboneWorkloads.index('address', (w) => w.addresses) };
}

/** Captured as soon as one Pod is: past a waypoint nobody is to get while Pods are replaced. Undefined when none is. */
function capturedIngress(scope: string, pods: readonly Pod[]): MeshSender | undefined {
  const running = pods.filter(isRunning);
  const captured = running.filter(isCaptured);
  if (captured.length === 0) return undefined;
  const addresses = captured.flatMap((p) => p.status?.podIPs ?? []);
  const families = [...new Set(addresses.map(({ ip }) => familyOf(ip)))].sort();
  return { by: 'ztunnel', scope, families, whole: captured.length === running.length };
}

/** It has an address that no other Pod has. */
function isRunning({ status }: Pod): boolean {
  return (status?.podIPs ?? []).length > 0 && status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}

function isCaptured({ metadata: { annotations } }: Pod): boolean {
  return annotations?.[redirectionAnnotation] === 'enabled';
}

/** What istiod publishes with the tunnel protocol HBONE. Undefined for a Pod that takes plain text, or has no address of its own. */
export function hboneWorkload(pod: Pod): HboneWorkload | undefined {
  const { namespace = '', labels } = pod.metadata;
  if (!isRunning(pod) || !(isCaptured(pod) || labels?.[tunnelLabel] === 'http')) return undefined;
  const addresses = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  return { key: keyOf(pod), addresses, namespace, serviceAccount: pod.spec.serviceAccountName ?? 'default' };
}

/** The label of the object decides, whatever its value; else that of the namespace (Istio: ingressUseWaypointFromLabels). */
function wantsIngress(ctx: Ctx, namespaces: Collection<MeshNamespace>, { service, labels }: LabelledService): boolean {
  const value = labels.ingressUse ?? ctx.fetchOne(namespaces, service.namespace)?.waypoint.ingressUse;
  return value?.toLowerCase() === 'true';
}
