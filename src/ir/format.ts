/**
 * Text with Envoy's command operators, as `%REQ(X-Name)%`: values of headers, bodies of direct responses, lines of access logs.
 *
 * Only operators of this table: Envoy refuses all routes of a host, or a whole listener, over one that it does not know, and some (`%FILE_CONTENT%`,
 * `%ENVIRONMENT%`) would show what is in the Pod of the proxy, its token first, to whoever may write a policy.
 */

/** How an operator goes on after its name. */
interface Operator {
  readonly suffix: RegExp;
  readonly example: string;
}

const addresses = ['', '_WITHOUT_PORT'] as const;

const header = "[:A-Za-z0-9!#$&'*+.^_`|~-]+";
const operators = (names: readonly string[], suffix: RegExp, example = ''): readonly (readonly [string, Operator])[] =>
  names.map((name) => [name, { suffix, example: `%${name}${example}%` }]);

/** Operators that say something of the request, its connection or its route. */
export const formatOperators: ReadonlyMap<string, Operator> = new Map([
  ...operators(['REQ', 'RESP', 'TRAILER'], new RegExp(`^\\(${header}(?:\\?${header})?\\)(?::[0-9]{1,5})?$`), '(X-Name)'),
  ...operators(['QUERY_PARAM'], /^\([^()%\s]+\)(?::[0-9]{1,5})?$/, '(name)'),
  ...operators(['DYNAMIC_METADATA', 'CLUSTER_METADATA'], /^\([^()%\n]+\)(?::[0-9]{1,5})?$/, '(namespace:key)'),
  ...operators(
    ['METADATA'],
    /^\((?:DYNAMIC|CLUSTER|ROUTE|UPSTREAM_HOST|LISTENER|VIRTUAL_HOST|LISTENER_FILTER_CHAIN):[^()%\n]+\)(?::[0-9]{1,5})?$/,
    '(CLUSTER:namespace:key)',
  ),
  ...operators(['FILTER_STATE'], /^\([^()%:\s]+(?::PLAIN)?\)(?::[0-9]{1,5})?$/, '(key:PLAIN)'),
  ...operators(
    ['START_TIME', 'START_TIME_LOCAL', 'EMIT_TIME', 'DOWNSTREAM_PEER_CERT_V_START', 'DOWNSTREAM_PEER_CERT_V_END'],
    /^(?:\([^()\n]+\))?$/,
    '(%Y-%m-%d)',
  ),
  ...operators(['PATH'], /^(?:\((?:WQ|NQ)\))?(?::[0-9]{1,5})?$/),
  ...operators(['GRPC_STATUS'], /^(?:\((?:CAMEL_STRING|SNAKE_STRING|NUMBER)\))?$/),
  ...operators(
    [
      'PROTOCOL',
      'RESPONSE_CODE',
      'RESPONSE_CODE_DETAILS',
      'RESPONSE_FLAGS',
      'RESPONSE_FLAGS_LONG',
      'CONNECTION_TERMINATION_DETAILS',
      'BYTES_RECEIVED',
      'BYTES_SENT',
      ...['UPSTREAM', 'DOWNSTREAM'].flatMap((side) => [`${side}_WIRE_BYTES_SENT`, `${side}_WIRE_BYTES_RECEIVED`]),
      'DURATION',
      'REQUEST_DURATION',
      'RESPONSE_DURATION',
      'RESPONSE_TX_DURATION',
      'UPSTREAM_HOST',
      'UPSTREAM_CLUSTER',
      'UPSTREAM_PROTOCOL',
      'UPSTREAM_TRANSPORT_FAILURE_REASON',
      'UPSTREAM_REQUEST_ATTEMPT_COUNT',
      ...addresses.flatMap((a) => [`UPSTREAM_LOCAL_ADDRESS${a}`, `UPSTREAM_REMOTE_ADDRESS${a}`]),
      'UPSTREAM_LOCAL_PORT',
      'UPSTREAM_REMOTE_PORT',
      ...addresses.flatMap((a) => [`DOWNSTREAM_LOCAL_ADDRESS${a}`, `DOWNSTREAM_REMOTE_ADDRESS${a}`]),
      ...addresses.flatMap((a) => [`DOWNSTREAM_DIRECT_LOCAL_ADDRESS${a}`, `DOWNSTREAM_DIRECT_REMOTE_ADDRESS${a}`]),
      'DOWNSTREAM_LOCAL_PORT',
      'DOWNSTREAM_REMOTE_PORT',
      'DOWNSTREAM_TLS_VERSION',
      'DOWNSTREAM_TLS_CIPHER',
      'DOWNSTREAM_TLS_SESSION_ID',
      'DOWNSTREAM_PEER_URI_SAN',
      'DOWNSTREAM_PEER_DNS_SAN',
      'DOWNSTREAM_PEER_SUBJECT',
      'DOWNSTREAM_PEER_ISSUER',
      'DOWNSTREAM_PEER_SERIAL',
      'DOWNSTREAM_PEER_FINGERPRINT_1',
      'DOWNSTREAM_PEER_FINGERPRINT_256',
      'DOWNSTREAM_PEER_CERT',
      'DOWNSTREAM_LOCAL_URI_SAN',
      'DOWNSTREAM_LOCAL_DNS_SAN',
      'DOWNSTREAM_LOCAL_SUBJECT',
      'REQUESTED_SERVER_NAME',
      'ROUTE_NAME',
      'VIRTUAL_CLUSTER_NAME',
      'FILTER_CHAIN_NAME',
      'ACCESS_LOG_TYPE',
      'HOSTNAME',
      'CONNECTION_ID',
      'STREAM_ID',
      'TRACE_ID',
      'GRPC_STATUS_NUMBER',
      'LOCAL_REPLY_BODY',
    ],
    /^$/,
  ),
]);

const part = /%%|%([A-Z][A-Z0-9_]*)((?:\([^)]*\))?(?::[0-9]+)?)%|%/g;

/** What is wrong with a text, if anything. A percent sign of its own is written twice. */
export function formatProblem(text: string): string | undefined {
  for (const [found, name, suffix = ''] of text.matchAll(part)) {
    if (found === '%%') continue;
    if (name === undefined) return `${JSON.stringify(text)} is not a valid format; write %% for a percent sign`;
    const operator = formatOperators.get(name);
    if (!operator) return `%${name}% is not an operator that may be used here; write %% for a percent sign`;
    if (!operator.suffix.test(suffix)) return `${found} is not how the operator is written; write it as ${operator.example}`;
  }
  return undefined;
}
