/** [MeshConfig.extensionProviders] -> ExternalAuthorization. Source: MeshConfig.ExtensionProvider, envoyExtAuthzHttp and envoyExtAuthzGrpc. */
import type { ExternalAuthorization } from '../ir/authorization.ts';
import { isHeaderName } from '../ir/header-syntax.ts';
import type { ExtAuthzHttpProvider, ExtAuthzProvider, ExtensionProvider } from '../kube/types/istio-security.ts';
import { durationMs } from './duration.ts';
import type { Mesh } from './mesh.ts';
import { textMatch } from './text-match.ts';

/** Where a provider is. */
export interface ExtAuthzTarget {
  readonly host: string;
  /** Absent: any. */
  readonly namespace?: string;
  readonly port: number;
  readonly protocol: ExternalAuthorization['protocol'];
}

/** Name of the cluster of a provider; undefined when nothing has that host and port. */
export type ExtAuthzLookup = (target: ExtAuthzTarget) => string | undefined;

/** Where a provider of MeshConfig is; undefined for one that is not for authorization. `service` is `[<namespace>/]<host>`. */
export function extAuthzTarget({ envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc }: ExtensionProvider): ExtAuthzTarget | undefined {
  const settings = http ?? grpc;
  if (!settings) return undefined;
  const [host = '', namespace] = settings.service.split('/').toReversed();
  return { host, ...(namespace && { namespace }), port: settings.port, protocol: http ? 'http' : 'grpc' };
}

/** Istio's default: long enough for a person to approve. */
const defaultTimeoutMs = 600_000;
const defaultBodyBytes = 8192;

/** The provider of this name, or what is wrong with it. */
export function externalAuthorization(name: string, mesh: Mesh, clusterOf: ExtAuthzLookup): ExternalAuthorization | string {
  const provider = mesh.extensionProviders.find((p) => p.name === name);
  const known = mesh.extensionProviders.filter((p) => p.envoyExtAuthzGrpc ?? p.envoyExtAuthzHttp).map((p) => p.name);
  if (!provider)
    return `no extension provider ${JSON.stringify(name)} in MeshConfig; it has ${known.length > 0 ? known.join(', ') : 'none'}`;
  const { envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc } = provider;
  const settings: (ExtAuthzProvider & Partial<ExtAuthzHttpProvider>) | undefined = http ?? grpc;
  const target = extAuthzTarget(provider);
  if (!settings || !target)
    return `extension provider ${JSON.stringify(name)} is not for authorization; it needs envoyExtAuthzHttp or envoyExtAuthzGrpc`;
  const { host } = target;
  const cluster = clusterOf(target);
  if (cluster === undefined) {
    return `nothing has host ${host} and port ${settings.port}, which extension provider ${JSON.stringify(name)} names; create that Service, or correct MeshConfig`;
  }
  const wrong = (what: string): string => `extension provider ${JSON.stringify(name)}: ${what}`;
  const timeoutMs = settings.timeout === undefined ? defaultTimeoutMs : durationMs(settings.timeout);
  if (timeoutMs === undefined) return wrong('timeout is no duration; write it like 5s');
  const status = settings.statusOnError === undefined || settings.statusOnError === '' ? 403 : Number(settings.statusOnError);
  if (!statuses.has(status)) return wrong('statusOnError is no HTTP status that the proxy knows; write it like 403');
  const { pathPrefix = '', includeAdditionalHeadersInCheck: additional = {} } = settings;
  if (pathPrefix !== '' && !pathPrefix.startsWith('/')) return wrong('pathPrefix must begin with a slash');
  const unusable = Object.keys(additional).find((header) => !isHeaderName(header) || header.toLowerCase() === 'host');
  if (unusable !== undefined) return wrong(`includeAdditionalHeadersInCheck cannot set ${JSON.stringify(unusable)}; use another header`);
  const body = settings.includeRequestBodyInCheck;
  return {
    name,
    protocol: http ? 'http' : 'grpc',
    cluster,
    authority: `${host}:${settings.port}`,
    timeoutMs,
    failOpen: settings.failOpen ?? false,
    clearRouteCache: settings.clearRouteCache ?? false,
    statusOnError: status,
    ...(body && {
      body: {
        maxBytes: body.maxRequestBytes || defaultBodyBytes,
        allowPartial: body.allowPartialMessage ?? false,
        asBytes: body.packAsBytes ?? false,
      },
    }),
    pathPrefix,
    requestHeaders: (settings.includeRequestHeadersInCheck ?? settings.includeHeadersInCheck ?? []).map(textMatch),
    additionalHeaders: Object.entries(additional).map(([header, value]) => ({ name: header, value })),
    headersToUpstreamOnAllow: (settings.headersToUpstreamOnAllow ?? []).map(textMatch),
    headersToDownstreamOnDeny: (settings.headersToDownstreamOnDeny ?? []).map(textMatch),
    headersToDownstreamOnAllow: (settings.headersToDownstreamOnAllow ?? []).map(textMatch),
  };
}

/** Those that Envoy can answer with (envoy.type.v3.StatusCode). */
const statuses: ReadonlySet<number> = new Set(
  [
    [100, 100],
    [200, 208],
    [226, 226],
    [300, 305],
    [307, 308],
    [400, 417],
    [421, 424],
    [426, 426],
    [428, 429],
    [431, 431],
    [500, 508],
    [510, 511],
  ].flatMap(([from = 0, to = 0]) => Array.from({ length: to - from + 1 }, (_, i) => from + i)),
);
