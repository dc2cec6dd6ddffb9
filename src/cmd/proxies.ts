/** The proxies of Gateways: what is to be deployed for each, and under which addresses they are reached. */
import type { GatewayManifests } from '../deploy/applier.ts';
import type { GatewayParameters, KubeParameters } from '../deploy/gatewayparameters.ts';
import { mergeParameters } from '../deploy/merge.ts';
import { type ProxySettings, proxyName } from '../deploy/proxy-deployment.ts';
import { proxyManifests } from '../deploy/proxy.ts';
import { type Slices, hasReadyEndpoint, slicesOf } from '../gateway/endpoints.ts';
import type { GatewayView } from '../gateway/gateway.ts';
import { serviceHost } from '../ir/names.ts';
import { type Collection, type Ctx, type Graph, map } from '../krt/index.ts';
import type { EndpointSlice, Service } from '../kube/types/core.ts';
import type { Gateway } from '../kube/types/gateway-api.ts';

export interface ProxyInputs {
  readonly gateways: Collection<GatewayView>;
  readonly parameters: Collection<GatewayParameters>;
  readonly settings: Collection<{ readonly settings: ProxySettings }>;
}

/** Key of the only object in the collection of settings; it changes when the CA of the xDS server does. */
export const settingsKey = 'settings';

/** Manifests of every Gateway that the controller deploys. An invalid Gateway keeps what it has. */
export function gatewayManifests(g: Graph, inputs: ProxyInputs): Collection<GatewayManifests> {
  return map(g, inputs.gateways, { name: 'GatewayManifests' }, (ctx, view): GatewayManifests | undefined => {
    const settings = ctx.fetchOne(inputs.settings, settingsKey)?.settings;
    const parameters = parametersOf(ctx, inputs, view);
    if (parameters === 'self-managed') return undefined;
    if (!view.accepted || !settings) {
      ctx.keepLast();
      return undefined;
    }
    return {
      key: view.key,
      uid: view.uid,
      objects: proxyManifests({
        gateway: { namespace: view.ref.namespace, name: view.ref.name, uid: view.uid, className: view.className },
        role: view.waypoint ? 'waypoint' : 'ingress',
        hbone: view.entrance?.hbone === true,
        ports: view.listeners.filter(isAccepted).map((l) => ({ port: l.port, protocol: l.protocol === 'UDP' ? 'UDP' : 'TCP' })),
        labels: view.labels,
        annotations: view.annotations,
        addresses: view.addresses.flatMap((a) => a.value ?? []),
        parameters,
        settings,
      }),
    };
  });
}

/** A certificate that is missing or broken takes no port off the load balancer, which may need minutes to bring it back. */
function isAccepted(l: GatewayView['listeners'][number]): boolean {
  return l.conditions.some((c) => c.type === 'Accepted' && c.status === 'True');
}

function parametersOf(ctx: Ctx, inputs: Pick<ProxyInputs, 'parameters'>, view: GatewayView): KubeParameters | 'self-managed' {
  const read = (key: string | undefined): GatewayParameters['spec'] | undefined =>
    key === undefined ? undefined : ctx.fetchOne(inputs.parameters, key)?.spec;
  const [ofClass, own] = [read(view.classParameters), read(view.parameters)];
  if (own?.selfManaged || (ofClass?.selfManaged && !own?.kube)) return 'self-managed';
  return mergeParameters(ofClass?.kube, own?.kube);
}

export interface AddressInputs extends Pick<ProxyInputs, 'gateways' | 'parameters'> {
  readonly services: Collection<Service>;
  readonly endpointSlices: Collection<EndpointSlice>;
  /** As they are stored, for the addresses that they have already. */
  readonly objects: Collection<Gateway>;
}

export interface ProxyAddresses {
  readonly gateway: string;
  readonly addresses: readonly string[];
}

/**
 * Addresses of the Service of each proxy: those of the load balancer, else the cluster's. Of a self-managed proxy, those that its Gateway names.
 * Of a waypoint its host name and IPs, from when a first Pod is ready: istiod sends clients there from then on.
 */
export function proxyAddresses(g: Graph, inputs: AddressInputs): Collection<ProxyAddresses> {
  const slices = slicesOf(inputs.endpointSlices);
  return map(g, inputs.gateways, { name: 'ProxyAddresses' }, (ctx, view): ProxyAddresses | undefined => {
    if (parametersOf(ctx, inputs, view) === 'self-managed')
      return { gateway: view.key, addresses: view.addresses.flatMap((a) => a.value ?? []) };
    const name = `${view.ref.namespace}/${proxyName(view.ref.name)}`;
    const service = ctx.fetchOne(inputs.services, name);
    const owned = service?.metadata.ownerReferences?.some((o) => o.uid === view.uid);
    if (!service || !owned) return { gateway: view.key, addresses: [] };
    if (!view.waypoint) return { gateway: view.key, addresses: serviceAddresses(service) };
    const started = ctx.fetchOne(inputs.objects, view.key)?.status?.addresses?.length;
    if (!started && !isServed(ctx, slices, name)) {
      ctx.keepLast();
      return undefined;
    }
    // istiod takes the host name before any address, and only the name of a Service of this namespace.
    return { gateway: view.key, addresses: [serviceHost(view.ref.namespace, service.metadata.name), ...serviceAddresses(service)] };
  });
}

/**
 * True when a Pod is ready. Addresses are never taken back for want of one: without a waypoint in the status, clients reach its Services past all
 * of its policies.
 */
function isServed(ctx: Ctx, slices: Slices, service: string): boolean {
  return ctx.fetch(slices.collection, { index: slices.byService, is: service }).some(hasReadyEndpoint);
}

function serviceAddresses(service: Service): readonly string[] {
  if (service.spec.type === 'LoadBalancer') {
    return (service.status?.loadBalancer?.ingress ?? []).flatMap((i) => i.ip ?? i.hostname ?? []);
  }
  return (service.spec.clusterIPs ?? []).filter((ip) => ip !== 'None');
}
