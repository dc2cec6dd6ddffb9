/**
 * Every combination of labels that decides about a waypoint, one row each, with what istiod says to it. The unit test holds our binding to the
 * table; the test in a cluster holds istiod to it.
 */
import type { KubeObject } from '../../kube/types/meta.ts';

export interface BindingRow {
  readonly name: string;
  /** What the row is about; default Service. */
  readonly kind?: 'Service' | 'ServiceEntry' | 'WorkloadEntry';
  readonly namespace?: Meta;
  readonly object?: Meta;
  /** `Condition istio.io/WaypointBound`; undefined: it is not there. Of the message what has to be part of it. */
  readonly condition?: { readonly status: 'True' | 'False'; readonly reason: string; readonly message: string };
  /** What our waypoints serve of it: `waypoint weight`. */
  readonly served: readonly string[];
  readonly headless?: boolean;
}

type Condition = NonNullable<BindingRow['condition']>;

interface Meta {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Namespace of the waypoints that rows share. */
export const waypointNamespace = 'binding-waypoints';
/** The class of our waypoints, and that of somebody else's. */
export const ownClass = 'binding-own';
export const foreignClass = 'binding-foreign';

const use = 'istio.io/use-waypoint';
const useNamespace = 'istio.io/use-waypoint-namespace';
const canary = 'istio.io/use-waypoint-canary';
const canaryNamespace = 'istio.io/use-waypoint-canary-namespace';
const weight = 'istio.io/use-waypoint-canary-weight';

/** Labels that name a shared waypoint. */
const shared = (name: string): Record<string, string> => ({ [use]: name, [useNamespace]: waypointNamespace });
const sharedCanary = (name: string): Record<string, string> => ({ [canary]: name, [canaryNamespace]: waypointNamespace });

const bound = (waypoint: string, more = ''): Condition => ({
  status: 'True',
  reason: 'WaypointAccepted',
  message: `Successfully attached to waypoint ${waypoint}${more}`,
});
const boundShared = (name: string, more = ''): Condition => bound(`${waypointNamespace}/${name}`, more);
const refused = (reason: string, message: string): Condition => ({ status: 'False', reason, message });
const at = (name: string, percent = 100): string => `${waypointNamespace}/${name} ${percent}`;
const canaryFailed = (why: string): string => `. Canary waypoint not attached: ${why}`;

export const bindingRows: readonly BindingRow[] = [
  { name: 'nothing', served: [] },
  { name: 'namespace', namespace: { labels: shared('open') }, condition: boundShared('open'), served: [at('open')] },
  { name: 'service', object: { labels: shared('open') }, condition: boundShared('open'), served: [at('open')] },
  {
    name: 'own-namespace',
    object: { labels: { [use]: 'own' } },
    condition: bound('binding-own-namespace/own'),
    served: ['binding-own-namespace/own 100'],
  },
  {
    name: 'inherited-own-namespace',
    namespace: { labels: { [use]: 'own' } },
    condition: bound('binding-inherited-own-namespace/own'),
    served: ['binding-inherited-own-namespace/own 100'],
  },
  {
    name: 'service-before-namespace',
    namespace: { labels: shared('open') },
    object: { labels: shared('all') },
    condition: boundShared('all'),
    served: [at('all')],
  },
  { name: 'opted-out', namespace: { labels: shared('open') }, object: { labels: { [use]: 'none' } }, served: [] },
  { name: 'namespace-none', namespace: { labels: { [use]: 'none' } }, served: [] },
  {
    name: 'service-despite-namespace-none',
    namespace: { labels: { [use]: 'none' } },
    object: { labels: shared('open') },
    condition: boundShared('open'),
    served: [at('open')],
  },
  {
    name: 'namespace-label-alone',
    object: { labels: { [useNamespace]: waypointNamespace } },
    served: [],
  },
  {
    name: 'missing',
    object: { labels: shared('missing') },
    condition: refused('WaypointIsNotReady', `waypoint "${waypointNamespace}/missing" is not ready`),
    served: [],
  },
  {
    name: 'missing-does-not-fall-back',
    namespace: { labels: shared('open') },
    object: { labels: shared('missing') },
    condition: refused('WaypointIsNotReady', `waypoint "${waypointNamespace}/missing" is not ready`),
    served: [],
  },
  {
    name: 'namespace-missing',
    namespace: { labels: shared('missing') },
    condition: refused('WaypointIsNotReady', `waypoint "${waypointNamespace}/missing" is not ready`),
    served: [],
  },
  {
    name: 'same-namespace-only',
    object: { labels: shared('same') },
    condition: refused('AttachmentDenied', `we are not permitted to attach to waypoint "${waypointNamespace}/same"`),
    served: [],
  },
  {
    name: 'same-namespace-only-inherited',
    namespace: { labels: shared('same') },
    condition: refused('AttachmentDenied', `we are not permitted to attach to waypoint "${waypointNamespace}/same"`),
    served: [],
  },
  {
    name: 'selected',
    namespace: { labels: { team: 'a' } },
    object: { labels: shared('selected') },
    condition: boundShared('selected'),
    served: [at('selected')],
  },
  {
    name: 'not-selected',
    namespace: { labels: { team: 'b' } },
    object: { labels: shared('selected') },
    condition: refused('AttachmentDenied', `we are not permitted to attach to waypoint "${waypointNamespace}/selected"`),
    served: [],
  },
  {
    name: 'selected-inherited',
    namespace: { labels: { team: 'a', ...shared('selected') } },
    condition: boundShared('selected'),
    served: [at('selected')],
  },
  { name: 'for-all', object: { labels: shared('all') }, condition: boundShared('all'), served: [at('all')] },
  {
    name: 'for-workloads',
    object: { labels: shared('workloads') },
    condition: refused('UnsupportedTrafficType', 'attempting to bind to traffic type "service"'),
    served: [],
  },
  {
    name: 'for-workloads-inherited',
    namespace: { labels: shared('workloads') },
    condition: refused('UnsupportedTrafficType', 'attempting to bind to traffic type "service"'),
    served: [],
  },
  {
    name: 'for-none',
    object: { labels: shared('nothing') },
    condition: refused('UnsupportedTrafficType', 'attempting to bind to traffic type "service"'),
    served: [],
  },
  {
    name: 'for-anything-else',
    object: { labels: shared('odd') },
    condition: refused('UnsupportedTrafficType', 'attempting to bind to traffic type "service"'),
    served: [],
  },
  { name: 'hbone-listener', object: { labels: shared('hbone') }, condition: boundShared('hbone'), served: [at('hbone')] },
  { name: 'protocol-without-port', object: { labels: shared('portless') }, condition: boundShared('portless'), served: [at('portless')] },
  { name: 'foreign', object: { labels: shared('foreign') }, condition: boundShared('foreign'), served: [] },
  { name: 'headless', headless: true, object: { labels: shared('open') }, condition: boundShared('open'), served: [at('open')] },
  {
    name: 'istio-gateway',
    namespace: { labels: shared('open') },
    object: { labels: { 'gateway.istio.io/managed': 'istio.io-mesh-controller' } },
    served: [],
  },
  {
    name: 'entry',
    kind: 'ServiceEntry',
    object: { labels: shared('open') },
    condition: boundShared('open'),
    served: [at('open')],
  },
  {
    name: 'entry-inherited',
    kind: 'ServiceEntry',
    namespace: { labels: shared('open') },
    condition: boundShared('open'),
    served: [at('open')],
  },
  {
    name: 'entry-opted-out',
    kind: 'ServiceEntry',
    namespace: { labels: shared('open') },
    object: { labels: { [use]: 'none' } },
    served: [],
  },
  {
    name: 'entry-denied',
    kind: 'ServiceEntry',
    object: { labels: shared('same') },
    condition: refused('AttachmentDenied', `we are not permitted to attach to waypoint "${waypointNamespace}/same"`),
    served: [],
  },
  {
    name: 'canary',
    object: { labels: { ...shared('open'), ...sharedCanary('all') }, annotations: { [weight]: '30' } },
    condition: boundShared('open'),
    served: [at('all', 30), at('open', 70)],
  },
  {
    name: 'canary-without-weight',
    object: { labels: { ...shared('open'), ...sharedCanary('all') } },
    condition: boundShared('open'),
    served: [at('all', 0), at('open')],
  },
  {
    name: 'canary-of-foreign',
    object: { labels: { ...shared('foreign'), ...sharedCanary('open') }, annotations: { [weight]: '100' } },
    condition: boundShared('foreign'),
    served: [at('open', 100)],
  },
  {
    name: 'canary-is-foreign',
    object: { labels: { ...shared('open'), ...sharedCanary('foreign') }, annotations: { [weight]: '5' } },
    condition: boundShared('open'),
    served: [at('open', 95)],
  },
  { name: 'canary-without-primary', object: { labels: sharedCanary('open') }, served: [] },
  {
    name: 'canary-of-refused',
    object: { labels: { ...shared('same'), ...sharedCanary('open') } },
    condition: refused('AttachmentDenied', `we are not permitted to attach to waypoint "${waypointNamespace}/same"`),
    served: [],
  },
  {
    name: 'canary-same',
    object: { labels: { ...shared('open'), ...sharedCanary('open') }, annotations: { [weight]: '30' } },
    condition: boundShared('open', canaryFailed(`canary waypoint "${waypointNamespace}/open" must differ`)),
    served: [at('open')],
  },
  {
    name: 'canary-weight-101',
    object: { labels: { ...shared('open'), ...sharedCanary('all') }, annotations: { [weight]: '101' } },
    condition: boundShared('open', canaryFailed(`canary waypoint "${waypointNamespace}/all" has an invalid weight`)),
    served: [at('open')],
  },
  {
    name: 'canary-weight-word',
    object: { labels: { ...shared('open'), ...sharedCanary('all') }, annotations: { [weight]: 'half' } },
    condition: boundShared('open', canaryFailed(`canary waypoint "${waypointNamespace}/all" has an invalid weight`)),
    served: [at('open')],
  },
  {
    name: 'canary-missing',
    object: { labels: { ...shared('open'), ...sharedCanary('missing') } },
    condition: boundShared('open', canaryFailed(`waypoint "${waypointNamespace}/missing" is not ready`)),
    served: [at('open')],
  },
  {
    name: 'canary-denied',
    object: { labels: { ...shared('open'), ...sharedCanary('same') } },
    condition: boundShared('open', canaryFailed(`we are not permitted to attach to waypoint "${waypointNamespace}/same"`)),
    served: [at('open')],
  },
  {
    name: 'canary-for-workloads',
    object: { labels: { ...shared('open'), ...sharedCanary('workloads') } },
    condition: boundShared('open', canaryFailed('attempting to bind to traffic type "service"')),
    served: [at('open')],
  },
  {
    name: 'canary-none',
    object: { labels: { ...shared('open'), [canary]: 'none' } },
    condition: boundShared('open'),
    served: [at('open')],
  },
  {
    name: 'canary-inherited',
    namespace: { labels: { ...shared('open'), ...sharedCanary('all') }, annotations: { [weight]: '20' } },
    condition: boundShared('open'),
    served: [at('all', 20), at('open', 80)],
  },
  {
    name: 'canary-not-inherited-with-own-primary',
    namespace: { labels: { ...shared('open'), ...sharedCanary('all') }, annotations: { [weight]: '20' } },
    object: { labels: shared('open') },
    condition: boundShared('open'),
    served: [at('open')],
  },
  {
    name: 'canary-weight-of-object-first',
    namespace: { labels: { ...shared('open'), ...sharedCanary('all') }, annotations: { [weight]: '20' } },
    object: { annotations: { [weight]: '60' } },
    condition: boundShared('open'),
    served: [at('all', 60), at('open', 40)],
  },
  {
    name: 'canary-of-object-primary-inherited',
    namespace: { labels: shared('open') },
    object: { labels: sharedCanary('all'), annotations: { [weight]: '10' } },
    condition: boundShared('open'),
    served: [at('all', 10), at('open', 90)],
  },
  // By their own address. Of Pods istiod says nothing, and binds them in the same way.
  {
    name: 'workload',
    kind: 'WorkloadEntry',
    object: { labels: shared('workloads') },
    condition: boundShared('workloads'),
    served: [at('workloads')],
  },
  {
    name: 'workload-for-all',
    kind: 'WorkloadEntry',
    object: { labels: shared('all') },
    condition: boundShared('all'),
    served: [at('all')],
  },
  {
    name: 'workload-inherited',
    kind: 'WorkloadEntry',
    namespace: { labels: shared('workloads') },
    condition: boundShared('workloads'),
    served: [at('workloads')],
  },
  {
    name: 'workload-inherited-for-all',
    kind: 'WorkloadEntry',
    namespace: { labels: shared('all') },
    condition: boundShared('all'),
    served: [at('all')],
  },
  {
    name: 'workload-for-services',
    kind: 'WorkloadEntry',
    object: { labels: shared('open') },
    condition: refused('UnsupportedTrafficType', 'attempting to bind to traffic type "workload"'),
    served: [],
  },
  { name: 'workload-inherited-for-services', kind: 'WorkloadEntry', namespace: { labels: shared('open') }, served: [] },
  {
    name: 'workload-opted-out',
    kind: 'WorkloadEntry',
    namespace: { labels: shared('all') },
    object: { labels: { [use]: 'none' } },
    served: [],
  },
  {
    name: 'workload-missing',
    kind: 'WorkloadEntry',
    object: { labels: shared('missing') },
    condition: refused('WaypointIsNotReady', `waypoint "${waypointNamespace}/missing" is not ready`),
    served: [],
  },
  {
    name: 'workload-denied',
    kind: 'WorkloadEntry',
    object: { labels: shared('same') },
    condition: refused('AttachmentDenied', `we are not permitted to attach to waypoint "${waypointNamespace}/same"`),
    served: [],
  },
];

/** The namespace of a row. */
export function namespaceOf(row: BindingRow): string {
  return `binding-${row.name}`;
}

type Listener = { readonly name: string; readonly port: number; readonly protocol: string; readonly allowedRoutes?: object };

function gateway(
  namespace: string,
  name: string,
  listeners: readonly Listener[],
  meta: Meta = {},
  className = ownClass,
): KubeObject & { spec: object } {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace, ...meta },
    spec: { gatewayClassName: className, listeners },
  };
}

const proxy = (namespaces?: object): Listener => ({
  name: 'proxy',
  port: 15_088,
  protocol: 'istio.io/PROXY',
  ...(namespaces && { allowedRoutes: { namespaces } }),
});
const hbone: Listener = { name: 'mesh', port: 15_008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'All' } } };
const trafficFor = (type: string): Meta => ({ labels: { 'istio.io/waypoint-for': type } });
const everywhere = proxy({ from: 'All' });

/** The objects that rows share: classes, and waypoints in their namespace. */
export function sharedObjects(): readonly KubeObject[] {
  const classOf = (name: string, controllerName: string): KubeObject & { spec: object } => ({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name, annotations: { 'ambient.istio.io/waypoint-inbound-binding': 'PROXY/15088' } },
    spec: { controllerName },
  });
  const portless: Meta = { annotations: { 'ambient.istio.io/waypoint-inbound-binding': 'PROXY' } };
  return [
    classOf(ownClass, 'kgateway.dev/kgateway'),
    classOf(foreignClass, 'example.com/other'),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: waypointNamespace } },
    gateway(waypointNamespace, 'open', [everywhere]),
    gateway(waypointNamespace, 'same', [proxy()]),
    gateway(waypointNamespace, 'selected', [proxy({ from: 'Selector', selector: { matchLabels: { team: 'a' } } })]),
    gateway(waypointNamespace, 'all', [everywhere], trafficFor('all')),
    gateway(waypointNamespace, 'workloads', [everywhere], trafficFor('workload')),
    gateway(waypointNamespace, 'nothing', [everywhere], trafficFor('none')),
    gateway(waypointNamespace, 'odd', [everywhere], trafficFor('everything')),
    gateway(waypointNamespace, 'hbone', [hbone]),
    gateway(
      waypointNamespace,
      'portless',
      [
        { ...hbone, name: 'other', port: 15_000, protocol: 'TCP' },
        { ...everywhere, port: 15_099 },
      ],
      portless,
    ),
    gateway(waypointNamespace, 'foreign', [hbone], {}, foreignClass),
  ];
}

/** The objects of a row: its namespace, the waypoint `own` if it is named, the object `target`. */
export function rowObjects(row: BindingRow): readonly KubeObject[] {
  const namespace = namespaceOf(row);
  const wantsOwn = [row.namespace, row.object].some((m) => m?.labels?.[use] === 'own');
  const metadata = { name: 'target', namespace, ...row.object };
  const ports = [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }];
  const service: KubeObject & { spec: object } = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { ports, ...(row.headless && { clusterIP: 'None' }) },
  };
  const entry: KubeObject & { spec: object } = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata,
    spec: {
      hosts: [`${row.name}.example.com`],
      resolution: 'DNS',
      location: 'MESH_EXTERNAL',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    },
  };
  const workload: KubeObject & { spec: object } = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata,
    spec: { address: `10.99.1.${bindingRows.indexOf(row)}` },
  };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, ...row.namespace } },
    ...(wantsOwn ? [gateway(namespace, 'own', [proxy()])] : []),
    row.kind === 'WorkloadEntry' ? workload : row.kind === 'ServiceEntry' ? entry : service,
  ];
}
