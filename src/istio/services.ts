/**
 * Services of the mesh.
 *
 *   Service ──────┐
 *   ServiceEntry ─┴─> by namespace and host: a Service, else the oldest ServiceEntry ─> MeshService
 */
import type { MeshService } from '../ir/mesh.ts';
import { serviceHost } from '../ir/names.ts';
import { type Collection, type Graph, flatMap, group, join, map } from '../krt/index.ts';
import type { Service } from '../kube/types/core.ts';
import type { ServiceEntry } from '../kube/types/istio-networking.ts';
import { hostsOfServiceEntry } from './serviceentry.ts';
import { servicePortProtocol } from './protocol.ts';

/** What the labels of a service, and of its namespace, say about waypoints. Absent labels are absent here. */
export interface WaypointLabels {
  readonly use?: string;
  readonly useNamespace?: string;
  readonly canary?: string;
  readonly canaryNamespace?: string;
  /** Annotation `istio.io/use-waypoint-canary-weight`, as written. */
  readonly canaryWeight?: string;
  /** `istio.io/ingress-use-waypoint`, as written. */
  readonly ingressUse?: string;
}

/** A service with what decides its waypoint. */
export interface LabelledService {
  readonly service: MeshService;
  readonly labels: WaypointLabels;
  /** Istio's own waypoints and east-west gateways have no waypoint. */
  readonly gatewayOfIstio: boolean;
  readonly created: string;
}

const istioGateways: ReadonlySet<string | undefined> = new Set(['istio.io-mesh-controller', 'istio.io-eastwest-controller']);

interface Labelled {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> };
}

/** Reads the labels of an object or a namespace. */
export function waypointLabels({ metadata: { labels = {}, annotations = {} } }: Labelled): WaypointLabels {
  const read = <K extends keyof WaypointLabels>(key: K, value: string | undefined): Pick<WaypointLabels, K> | undefined =>
    value === undefined ? undefined : ({ [key]: value } as Pick<WaypointLabels, K>);
  return {
    ...read('use', labels['istio.io/use-waypoint']),
    ...read('useNamespace', labels['istio.io/use-waypoint-namespace']),
    ...read('canary', labels['istio.io/use-waypoint-canary']),
    ...read('canaryNamespace', labels['istio.io/use-waypoint-canary-namespace']),
    ...read('canaryWeight', annotations['istio.io/use-waypoint-canary-weight']),
    ...read('ingressUse', labels['istio.io/ingress-use-waypoint']),
  };
}

/** True for a Service that belongs to a gateway of Istio itself. */
function isIstioGateway({ metadata: { labels } }: Labelled): boolean {
  return istioGateways.has(labels?.['gateway.istio.io/managed']);
}

/** Undefined for an ExternalName: ztunnel never sees its name, so no waypoint is asked for it. */
function meshService(service: Service): MeshService | undefined {
  const { spec, metadata } = service;
  const { name, namespace = '' } = metadata;
  if (spec.type === 'ExternalName') return undefined;
  const host = serviceHost(namespace, name);
  const clusterIPs = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ''];
  return {
    key: `${namespace}/${host}`,
    kind: 'Service',
    namespace,
    name,
    host,
    addresses: clusterIPs.filter((ip) => ip !== '' && ip !== 'None'),
    ports: (spec.ports ?? [])
      .filter((p) => (p.protocol ?? 'TCP') === 'TCP')
      .map((p) => ({ port: p.port, name: p.name ?? '', protocol: servicePortProtocol(p) })),
    endpoints: { from: 'slices', service: `${namespace}/${name}` },
    origin: { group: '', kind: 'Service', namespace, name },
  };
}

export interface MeshServiceInputs {
  readonly services: Collection<Service>;
  readonly serviceEntries: Collection<ServiceEntry>;
}

/** All services of the mesh, by `namespace/host`. A change of one object recomputes its own entries alone. */
export function meshServices(g: Graph, inputs: MeshServiceInputs): Collection<LabelledService> {
  const key = (s: LabelledService): string => `${s.service.key}|${s.service.kind}|${s.service.name}`;
  const ofServices = map(g, inputs.services, { name: 'ServiceHosts', key }, (_ctx, object): LabelledService | undefined => {
    const service = meshService(object);
    return service && labelled(service, object);
  });
  const ofEntries = flatMap(g, inputs.serviceEntries, { name: 'ServiceEntryHosts', key }, (_ctx, entry) =>
    hostsOfServiceEntry(entry).map((service) => labelled(service, entry)),
  );
  const byHost = group(
    g,
    { name: 'MeshServicesByHost' },
    join(g, { name: 'MeshServiceCandidates' }, [ofServices, ofEntries]).index('host', (s) => [s.service.key]),
  );
  return map(g, byHost, { name: 'MeshServices' }, (_ctx, { items }) => items.toSorted(byPrecedence)[0]);
}

function labelled(service: MeshService, object: Service | ServiceEntry): LabelledService {
  return {
    service,
    labels: waypointLabels(object),
    gatewayOfIstio: isIstioGateway(object),
    created: object.metadata.creationTimestamp ?? '',
  };
}

function byPrecedence(a: LabelledService, b: LabelledService): number {
  const rank = (s: LabelledService): string => `${s.service.kind === 'Service' ? 0 : 1}|${s.created}|${s.service.name}`;
  return rank(a) < rank(b) ? -1 : 1;
}
