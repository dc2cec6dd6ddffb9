/**
 * Ingresses of our classes, as the Gateway API objects that mean the same. They exist in the controller alone, under names that no object of a
 * cluster can have.
 *
 *   [IngressClass] -> the Gateway of the class: made by the controller, or named by the class
 *   [Ingress] ─┬─> HTTPRoute, one a host, and one for its default backend
 *              └─> ListenerSet with the hosts whose certificate it brings: of several Ingresses with one host, the oldest
 *
 * Source: Kubernetes, networking.k8s.io/v1 Ingress. Paths: `Prefix` goes by elements, and so does `ImplementationSpecific`; the longest path wins,
 * `Exact` before `Prefix`, which is what HTTPRoutes do.
 */
import type { ObjectRef } from '../ir/object-ref.ts';
import { compareText } from '../ir/precedence.ts';
import { escapeRegex } from '../ir/regex.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import type { HTTPRoute, Listener, ListenerSet, ParentReference } from '../kube/types/gateway-api.ts';
import type { Service } from '../kube/types/core.ts';
import type { Ingress, IngressBackend, IngressClass, IngressPath } from '../kube/types/ingress.ts';
import { keyOf } from '../kube/types/meta.ts';
import { controllerName, gatewayGroup } from './conditions.ts';
import { gatewayRef } from './gateway.ts';
import { anyHost } from './hostname.ts';

export const ingressGroup = 'networking.k8s.io';

/** An IngressClass of ours. */
export interface IngressClassView {
  readonly name: string;
  /** `namespace/name` of the Gateway that serves its Ingresses. */
  readonly gateway: string;
  /** True when Ingresses without a class belong to it. */
  readonly byDefault: boolean;
}

/** An Ingress of a class of ours. */
export interface IngressView {
  /** `namespace/name`. */
  readonly key: string;
  readonly ref: ObjectRef;
  readonly namespace: string;
  readonly generation: number;
  readonly created: string;
  readonly gateway: string;
  /** By host, `*` for any. */
  readonly hosts: ReadonlyMap<string, readonly IngressPath[]>;
  readonly defaultBackend?: IngressBackend;
  /** Name of the Secret, by host. */
  readonly certificates: ReadonlyMap<string, string>;
}

const defaultClassAnnotation = 'ingressclass.kubernetes.io/is-default-class';
const classAnnotation = 'kubernetes.io/ingress.class';

/** Reads a class; undefined when it is not ours. `namespace` is where its Gateway is made unless it says otherwise. */
export function ingressClassView({ metadata, spec }: IngressClass, namespace: string): IngressClassView | undefined {
  if (spec.controller !== controllerName) return undefined;
  const { parameters } = spec;
  const named = parameters?.apiGroup === gatewayGroup && parameters.kind === 'Gateway' ? parameters.name : `${metadata.name}-ingress`;
  return {
    name: metadata.name,
    gateway: `${parameters?.namespace ?? namespace}/${named}`,
    byDefault: metadata.annotations?.[defaultClassAnnotation] === 'true',
  };
}

/** Name of the class that an Ingress names; undefined: the default one. */
export function classNameOf({ metadata, spec }: Ingress): string | undefined {
  return spec.ingressClassName ?? metadata.annotations?.[classAnnotation];
}

/** Reads an Ingress of the class. */
export function ingressView(ingress: Ingress, { gateway }: IngressClassView): IngressView {
  const { metadata, spec } = ingress;
  const { name, namespace = '' } = metadata;
  const hosts = new Map<string, readonly IngressPath[]>();
  for (const { host, http } of spec.rules ?? []) {
    const key = host === undefined || host === '' ? anyHost : host.toLowerCase();
    // A host without paths is all for the default backend.
    const paths = http?.paths ?? (spec.defaultBackend ? [{ pathType: 'Prefix', path: '/', backend: spec.defaultBackend } as const] : []);
    hosts.set(key, [...(hosts.get(key) ?? []), ...paths]);
  }
  const certificates = new Map<string, string>();
  for (const { hosts: names, secretName } of spec.tls ?? []) {
    if (secretName === undefined || secretName === '') continue;
    for (const host of names?.length ? names : [anyHost]) {
      if (!certificates.has(host.toLowerCase())) certificates.set(host.toLowerCase(), secretName);
    }
  }
  return {
    key: keyOf(ingress),
    ref: { group: ingressGroup, kind: 'Ingress', namespace, name },
    namespace,
    generation: metadata.generation ?? 0,
    created: metadata.creationTimestamp ?? '',
    gateway,
    hosts,
    ...(spec.defaultBackend && { defaultBackend: spec.defaultBackend }),
    certificates,
  };
}

/** A host for which an Ingress brings a certificate. */
export interface IngressCertificate {
  readonly gateway: string;
  readonly host: string;
  /** `namespace/name`. */
  readonly ingress: string;
  readonly created: string;
}

/** Certificates, and their indexes. */
export interface IngressCertificates {
  readonly collection: Collection<IngressCertificate>;
  /** By `gateway|host`. */
  readonly byHost: Index<IngressCertificate>;
  readonly byGateway: Index<IngressCertificate>;
}

/** The Ingress whose certificate a host has: the oldest. */
function certificateOwner(ctx: Ctx, { collection, byHost }: IngressCertificates, gateway: string, host: string): string | undefined {
  const found = ctx.fetch(collection, { index: byHost, is: `${gateway}|${host}` });
  return found.toSorted((a, b) => compareText(a.created, b.created) || compareText(a.ingress, b.ingress))[0]?.ingress;
}

/** Name of what is made of an Ingress: no object of a cluster has a tilde in its name. */
export function derivedName(ingress: string, part = ''): string {
  const name = `ingress~${ingress.slice(ingress.indexOf('/') + 1)}`;
  return part === '' ? name : `${name}~${part}`;
}

/** Names of the routes of an Ingress. */
export function routeNamesOf(view: IngressView): readonly string[] {
  const parts = [...view.hosts.keys()].map(sectionOf);
  return [...parts, ...(view.defaultBackend ? [defaultPart] : [])].map((part) => derivedName(view.key, part));
}

const defaultPart = '~default';
const sectionOf = (host: string): string => (host === anyHost ? 'any' : host.replace('*', 'wildcard'));

/** The HTTPS listeners of an Ingress: those of hosts whose certificate is its own. */
export function listenerSetOf(ctx: Ctx, certificates: IngressCertificates, view: IngressView): ListenerSet | undefined {
  const listeners = [...view.certificates].flatMap(([host, secret]): Listener[] => {
    if (certificateOwner(ctx, certificates, view.gateway, host) !== view.key) return [];
    return [
      {
        name: sectionOf(host),
        port: 443,
        protocol: 'HTTPS',
        ...(host !== anyHost && { hostname: host }),
        tls: { mode: 'Terminate', certificateRefs: [{ name: secret }] },
        // Ingresses of any namespace share a host.
        allowedRoutes: { namespaces: { from: 'All' } },
      },
    ];
  });
  if (listeners.length === 0) return undefined;
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'ListenerSet',
    metadata: { namespace: view.namespace, name: derivedName(view.key), creationTimestamp: view.created, generation: view.generation },
    spec: { parentRef: gatewayRef(view.gateway), listeners },
  };
}

export interface IngressRouteInputs {
  readonly certificates: IngressCertificates;
  readonly services: Collection<Service>;
}

/** The routes of an Ingress. */
export function routesOf(ctx: Ctx, inputs: IngressRouteInputs, view: IngressView): readonly HTTPRoute[] {
  const routes = [...view.hosts].flatMap(([host, paths]) =>
    paths.length === 0 ? [] : [routeOf(ctx, inputs, view, { part: sectionOf(host), host, created: view.created, paths })],
  );
  if (!view.defaultBackend) return routes;
  const paths = [{ pathType: 'Prefix', path: '/', backend: view.defaultBackend } as const];
  // Behind every rule of every Ingress, and among its like by age.
  return [...routes, routeOf(ctx, inputs, view, { part: defaultPart, host: anyHost, created: `9999-${view.created}`, paths })];
}

interface HostPart {
  readonly part: string;
  readonly host: string;
  readonly created: string;
  readonly paths: readonly IngressPath[];
}

function routeOf(ctx: Ctx, inputs: IngressRouteInputs, view: IngressView, { part, host, created, paths }: HostPart): HTTPRoute {
  const headers = host.startsWith('*.') ? [{ type: 'RegularExpression', name: 'host', value: oneLabel(host) }] : undefined;
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: {
      namespace: view.namespace,
      name: derivedName(view.key, part),
      creationTimestamp: created,
      generation: view.generation,
    },
    spec: {
      parentRefs: parentsOf(ctx, inputs.certificates, view.gateway, host),
      ...(host !== anyHost && { hostnames: [host] }),
      rules: paths.map(({ path, pathType, backend }) => ({
        matches: [
          {
            path: { type: pathType === 'Exact' ? 'Exact' : 'PathPrefix', value: path === undefined || path === '' ? '/' : path },
            ...(headers && { headers }),
          },
        ],
        backendRefs: [backendRefOf(ctx, inputs.services, view.namespace, backend)],
      })),
    },
  } as HTTPRoute;
}

/** `*.foo.com` is `a.foo.com`, and not `a.b.foo.com` as in the Gateway API. */
function oneLabel(host: string): string {
  return `(?i)[^.:]+${escapeRegex(host.slice(1))}\\.?(:[0-9]+)?`;
}

/** The Gateway with all its own listeners, and the HTTPS listeners of Ingresses whose host has to do with the route's. */
function parentsOf(ctx: Ctx, certificates: IngressCertificates, gateway: string, host: string): readonly ParentReference[] {
  const wildcard = host.includes('*');
  const hosts = wildcard
    ? [...new Set(ctx.fetch(certificates.collection, { index: certificates.byGateway, is: gateway }).map((c) => c.host))].filter((h) =>
        isWithin(h, host),
      )
    : [host, `*${host.slice(host.indexOf('.'))}`, anyHost];
  const sets = [...new Set([...hosts, ...(wildcard ? [anyHost] : [])])].toSorted(compareText).flatMap((h): ParentReference[] => {
    const owner = certificateOwner(ctx, certificates, gateway, h);
    if (owner === undefined) return [];
    const [ownerNamespace = ''] = owner.split('/');
    return [{ group: gatewayGroup, kind: 'ListenerSet', namespace: ownerNamespace, name: derivedName(owner), sectionName: sectionOf(h) }];
  });
  return [gatewayRef(gateway), ...sets];
}

/** True when a listener for `listener` may get requests that a route of `host`, which is a wildcard, is for. */
function isWithin(listener: string, host: string): boolean {
  return host === anyHost || listener === host || (!listener.startsWith('*') && listener.endsWith(host.slice(1)));
}

type BackendRef = NonNullable<NonNullable<NonNullable<HTTPRoute['spec']['rules']>[number]['backendRefs']>[number]>;

function backendRefOf(ctx: Ctx, services: Collection<Service>, namespace: string, { service, resource }: IngressBackend): BackendRef {
  if (resource) return { group: resource.apiGroup ?? '', kind: resource.kind, name: resource.name };
  const name = service?.name ?? '';
  const { number, name: portName } = service?.port ?? {};
  const port = number ?? ctx.fetchOne(services, `${namespace}/${name}`)?.spec.ports?.find((p) => p.name === portName)?.port;
  return { name, ...(port !== undefined && { port }) };
}
