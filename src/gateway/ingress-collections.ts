/**
 * Ingresses as collections; what they are made into is drawn in ingress.ts.
 *
 *   IngressClass ─┬─> IngressClasses ─┐      ┌─> IngressCertificates ─┐
 *                 └─> IngressGateways │      ├────────────────────────┴─> IngressListenerSets, IngressRoutes ─> the Gateway API part
 *   Ingress ──────────────────────────┴─> Ingresses ─> statuses, problems (ingress-status.ts)
 *
 * The Gateway of a class is an object of the cluster, which the leader makes: with status, addresses and policies as any other.
 */
import { refKey } from '../ir/object-ref.ts';
import { type Collection, type Graph, flatMap, map } from '../krt/index.ts';
import type { Gateway, HTTPRoute } from '../kube/types/gateway-api.ts';
import type { Ingress, IngressClass } from '../kube/types/ingress.ts';
import { keyOf } from '../kube/types/meta.ts';
import type { Service } from '../kube/types/core.ts';
import { gatewayGroup } from './conditions.ts';
import {
  type IngressCertificate,
  type IngressView,
  classNameOf,
  ingressClassView,
  ingressGroup,
  ingressView,
  listenerSetOf,
  routesOf,
} from './ingress.ts';
import type { ListenerSetObject } from './listenerset.ts';

export interface IngressInputs {
  readonly ingresses: Collection<Ingress>;
  readonly ingressClasses: Collection<IngressClass>;
  readonly services: Collection<Service>;
}

export interface Ingresses {
  readonly views: Collection<IngressView>;
  readonly routes: Collection<HTTPRoute>;
  readonly listenerSets: Collection<ListenerSetObject>;
  /** Gateways that are to exist. */
  readonly gateways: Collection<Gateway>;
}

/** Builds the collections. `namespace` is where Gateways are made whose class does not say. */
export function ingressCollections(g: Graph, inputs: IngressInputs, namespace: string): Ingresses {
  const classes = map(g, inputs.ingressClasses, { name: 'IngressClasses' }, (_ctx, c) => ingressClassView(c, namespace));
  const defaults = classes.index('default', (c) => (c.byDefault ? ['default'] : []));
  const views = map(g, inputs.ingresses, { name: 'Ingresses' }, (ctx, ingress) => {
    const name = classNameOf(ingress);
    const ours = name === undefined ? ctx.fetch(classes, { index: defaults, is: 'default' })[0] : ctx.fetchOne(classes, name);
    return ours && ingressView(ingress, ours);
  });
  const certificateKey = (c: IngressCertificate): string => `${c.gateway}|${c.host}|${c.ingress}`;
  const collection = flatMap(g, views, { name: 'IngressCertificates', key: certificateKey }, (_ctx, view) =>
    [...view.certificates.keys()].map((host) => ({ gateway: view.gateway, host, ingress: view.key, created: view.created })),
  );
  const certificates = {
    collection,
    byHost: collection.index('host', (c) => [`${c.gateway}|${c.host}`]),
    byGateway: collection.index('gateway', (c) => [c.gateway]),
  };
  return {
    views,
    routes: flatMap(g, views, { name: 'IngressRoutes', key: keyOf }, (ctx, view) =>
      routesOf(ctx, { certificates, services: inputs.services }, view),
    ),
    listenerSets: map(g, views, { name: 'IngressListenerSets', key: (s: ListenerSetObject) => refKey(s.ref) }, (ctx, view) => {
      const set = listenerSetOf(ctx, certificates, view);
      return set && { ref: { group: gatewayGroup, kind: 'ListenerSet', namespace: view.namespace, name: set.metadata.name }, set };
    }),
    gateways: map(g, inputs.ingressClasses, { name: 'IngressGateways', key: keyOf }, (_ctx, c) => gatewayOf(c, namespace)),
  };
}

/** The Gateway to make for a class; undefined when the class is not ours or names one. */
function gatewayOf(c: IngressClass, namespace: string): Gateway | undefined {
  const view = ingressClassView(c, namespace);
  const { parameters } = c.spec;
  if (!view || parameters?.kind === 'Gateway') return undefined;
  const [at = '', name = ''] = view.gateway.split('/');
  const owner = { apiVersion: `${ingressGroup}/v1`, kind: 'IngressClass', name: view.name, uid: c.metadata.uid ?? '' };
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    // It goes with its class, by the garbage collector.
    metadata: { namespace: at, name, ownerReferences: [owner] },
    spec: {
      gatewayClassName: 'kgateway',
      listeners: [{ name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }],
      allowedListeners: { namespaces: { from: 'All' } },
      ...(parameters && {
        infrastructure: { parametersRef: { group: parameters.apiGroup ?? '', kind: parameters.kind, name: parameters.name } },
      }),
    },
  };
}
