/** Every setting of the controller in one table: environment variable, default, meaning. docs/settings.md is written from it. */

type Kind = 'string' | 'number' | 'boolean';

interface Setting<K extends Kind> {
  readonly variable: string;
  readonly kind: K;
  readonly default: K extends 'number' ? number : K extends 'boolean' ? boolean : string;
  readonly meaning: string;
}

function setting<K extends Kind>(variable: string, kind: K, value: Setting<K>['default'], meaning: string): Setting<K> {
  return { variable, kind, default: value, meaning };
}

/** Names are kgateway's where it has the setting. */
export const settingsTable = {
  namespace: setting('POD_NAMESPACE', 'string', 'kgateway-system', 'Namespace of the controller.'),
  podName: setting('POD_NAME', 'string', '', 'Name of the Pod: identity in leader election. Empty: the host name.'),
  logLevel: setting('KGW_LOG_LEVEL', 'string', 'info', 'debug, info, warn or error.'),
  xdsServiceName: setting('KGW_XDS_SERVICE_NAME', 'string', 'kgateway', 'Service under which proxies reach the xDS server.'),
  xdsServiceHost: setting(
    'KGW_XDS_SERVICE_HOST',
    'string',
    '',
    'Host under which proxies reach the xDS server. Empty: NAME.NAMESPACE.svc.',
  ),
  xdsServicePort: setting('KGW_XDS_SERVICE_PORT', 'number', 9977, 'Port of the xDS server.'),
  xdsBindAddress: setting('KGW_XDS_BIND_ADDRESS', 'string', '0.0.0.0', 'Where the xDS server listens.'),
  xdsTls: setting('KGW_XDS_TLS', 'boolean', true, 'Serve xDS over TLS. Without it the server listens on loopback only.'),
  xdsAuth: setting('KGW_XDS_AUTH', 'boolean', true, 'Ask proxies for their ServiceAccount token.'),
  imageRegistry: setting('KGW_DEFAULT_IMAGE_REGISTRY', 'string', 'ghcr.io/kgateway-ts', 'Registry of the proxy image.'),
  imageRepository: setting('KGW_DEFAULT_IMAGE_REPOSITORY', 'string', 'envoy', 'Repository of the proxy image.'),
  imageTag: setting('KGW_DEFAULT_IMAGE_TAG', 'string', '1.40.0', 'Tag of the proxy image: the version of Envoy.'),
  imagePullPolicy: setting('KGW_DEFAULT_IMAGE_PULL_POLICY', 'string', 'IfNotPresent', 'Always, IfNotPresent or Never.'),
  listenerBindIpv6: setting(
    'KGW_LISTENER_BIND_IPV6',
    'boolean',
    true,
    'Bind listeners on ::, which takes IPv4 as well, instead of 0.0.0.0.',
  ),
  enableWaypoint: setting(
    'KGW_ENABLE_WAYPOINT',
    'boolean',
    false,
    'Make the GatewayClasses kgateway-waypoint and kgateway-waypoint-hbone and serve their Gateways: waypoints of an Istio ambient mesh.',
  ),
  enableInference: setting(
    'KGW_ENABLE_INFER_EXT',
    'boolean',
    false,
    'Serve routes to InferencePools (Gateway API Inference Extension) and watch the Pods of those that routes lead to.',
  ),
  gatewayClassParametersRefs: setting(
    'KGW_GATEWAY_CLASS_PARAMETERS_REFS',
    'string',
    '{}',
    'JSON: class name to {name, namespace} of its GatewayParameters.',
  ),
  agentImage: setting(
    'KGW_AGENT_IMAGE',
    'string',
    'ghcr.io/kgateway-ts/kgateway:0.1.0',
    'Image of this controller, which also keeps the certificates of waypoints that end HBONE.',
  ),
  istioCaAddress: setting('KGW_ISTIO_CA_ADDRESS', 'string', '', "Istio's CA, HOST:PORT. Empty: istiod.NAMESPACE.svc:15012 of Istio."),
  istioClusterId: setting('KGW_ISTIO_CLUSTER_ID', 'string', 'Kubernetes', 'How istiod calls this cluster.'),
  istioNamespace: setting('KGW_ISTIO_NAMESPACE', 'string', 'istio-system', 'Where Istio keeps its MeshConfig (ConfigMap istio).'),
  weightedRoutes: setting(
    'KGW_WEIGHTED_ROUTE_PRECEDENCE',
    'boolean',
    false,
    'Try routes of a host by their annotation kgateway.dev/route-weight first, whatever their matches.',
  ),
  delegationWildcardNamespace: setting(
    'KGW_DELEGATION_WILDCARD_NAMESPACE',
    'string',
    'all',
    'Namespace of references by delegation label that means every namespace.',
  ),
  disableLeaderElection: setting('KGW_DISABLE_LEADER_ELECTION', 'boolean', false, 'Write without a Lease: for a single replica only.'),
  healthBindAddress: setting('KGW_HEALTH_BIND_ADDRESS', 'string', '0.0.0.0', 'Where /healthz and /readyz are served.'),
  healthPort: setting('KGW_HEALTH_PORT', 'number', 9093, 'Port of /healthz and /readyz.'),
  metricsBindAddress: setting('KGW_METRICS_BIND_ADDRESS', 'string', '0.0.0.0', 'Where /metrics is served.'),
  metricsPort: setting('KGW_METRICS_PORT', 'number', 9092, 'Port of /metrics.'),
  adminBindAddress: setting('KGW_ADMIN_BIND_ADDRESS', 'string', 'localhost', 'Where /debug/* and /logging are served.'),
  adminPort: setting('KGW_ADMIN_PORT', 'number', 9095, 'Port of /debug/* and /logging.'),
} as const;

type Table = typeof settingsTable;
export type Settings = {
  readonly [N in keyof Table]: Table[N] extends Setting<'number'> ? number : Table[N] extends Setting<'boolean'> ? boolean : string;
};

/** Reads the settings. Throws with the variable's name and what it accepts. */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const entries = Object.entries(settingsTable).map(([name, s]) => [name, parse(s, environment[s.variable])]);
  return Object.fromEntries(entries) as Settings;
}

function parse(s: Setting<Kind>, text: string | undefined): string | number | boolean {
  if (text === undefined || text === '') return s.default;
  switch (s.kind) {
    case 'string':
      return text;
    case 'number': {
      const value = Number(text);
      if (!Number.isInteger(value) || value < 0 || value > 65_535)
        throw new Error(`${s.variable}=${text} is not a port number (0 to 65535)`);
      return value;
    }
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw new Error(`${s.variable}=${text} is neither true nor false`);
      return text === 'true';
  }
}

/** `KGW_` variables that are no settings: misspelt, or of another version. They must not pass for settings. */
export function unknownVariables(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  const known = new Set<string>(Object.values(settingsTable).map((s) => s.variable));
  return Object.keys(environment).filter((name) => name.startsWith('KGW_') && !known.has(name));
}

/** docs/settings.md. */
export function settingsDocument(): string {
  const rows = Object.values(settingsTable).map(
    (s) => `| \`${s.variable}\` | ${s.default === '' ? '' : `\`${s.default}\``} | ${s.meaning} |`,
  );
  return [
    '# Settings',
    '',
    'Environment variables of the controller. The chart sets some of them from its values; any of them can be given as `controller.extraEnv`.\nA variable `KGW_...` that is not in this table is named in the log at the start.',
    '',
    '| variable | default | meaning |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
