/** The proxies of Gateways: what is to be deployed for each, and under which addresses they are reached. */
import type { GatewayManifests } from '../deploy/applier.ts';
import type { GatewayParameters, KubeParameters } from '../deploy/gatewayparameters.ts';
import { mergeParameters } from '../deploy/merge.ts';
import { type ProxySettings, proxyName } from '../deploy/proxy-deployment.ts';
import { proxyManifests } from '../deploy/proxy.ts';
import type { GatewayView } from '../gateway/gateway.ts';
import { type Collection, type Ctx, type Graph, map } from '../krt/index.ts';
import type { Service } from '../kube/types/core.ts';

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
        role: 'ingress',
        ports: view.listeners.filter(isAccepted).map((l) => ({ port: l.port, protocol: 'TCP' })),
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

/** Addresses of the Service of each proxy: those of the load balancer, else the cluster's. Of a self-managed proxy, those that its Gateway names. */
export function proxyAddresses(
  g: Graph,
  inputs: Pick<ProxyInputs, 'gateways' | 'parameters'>,
  services: Collection<Service>,
): Collection<{ readonly gateway: string; readonly addresses: readonly string[] }> {
  return map(g, inputs.gateways, { name: 'ProxyAddresses' }, (ctx, view) => {
    if (parametersOf(ctx, inputs, view) === 'self-managed')
      return { gateway: view.key, addresses: view.addresses.flatMap((a) => a.value ?? []) };
    const service = ctx.fetchOne(services, `${view.ref.namespace}/${proxyName(view.ref.name)}`);
    const owned = service?.metadata.ownerReferences?.some((o) => o.uid === view.uid);
    return { gateway: view.key, addresses: service && owned ? serviceAddresses(service) : [] };
  });
}

function serviceAddresses(service: Service): readonly string[] {
  if (service.spec.type === 'LoadBalancer') {
    return (service.status?.loadBalancer?.ingress ?? []).flatMap((i) => i.ip ?? i.hostname ?? []);
  }
  return (service.spec.clusterIPs ?? []).filter((ip) => ip !== 'None');
}
