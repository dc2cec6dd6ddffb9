/** [MeshConfig.extensionProviders] -> ExternalAuthorization. Source: MeshConfig.ExtensionProvider, envoyExtAuthzHttp and envoyExtAuthzGrpc. */
import type { ExternalAuthorization } from '../ir/authorization.ts';
import type { ExtAuthzHttpProvider, ExtAuthzProvider } from '../kube/types/istio-security.ts';
import type { Mesh } from './mesh.ts';
import { textMatch } from './text-match.ts';

/** Name of the cluster of a port of a host, as `outbound|9000||ext-authz.auth.svc.cluster.local`; undefined when nothing has that host. */
export type ExtAuthzLookup = (host: string, port: number) => string | undefined;

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
  if (!settings)
    return `extension provider ${JSON.stringify(name)} is not for authorization; it needs envoyExtAuthzHttp or envoyExtAuthzGrpc`;
  const host = settings.service.slice(settings.service.indexOf('/') + 1);
  const cluster = clusterOf(host, settings.port);
  if (cluster === undefined) {
    return `nothing has host ${host} and port ${settings.port}, which extension provider ${JSON.stringify(name)} names; create that Service, or correct MeshConfig`;
  }
  const timeoutMs = settings.timeout === undefined ? defaultTimeoutMs : durationMs(settings.timeout);
  if (timeoutMs === undefined) return `extension provider ${JSON.stringify(name)}: timeout is no duration; write it like 5s`;
  const status = settings.statusOnError === undefined || settings.statusOnError === '' ? 403 : Number(settings.statusOnError);
  if (!Number.isInteger(status) || status < 100 || status > 599) {
    return `extension provider ${JSON.stringify(name)}: statusOnError is no HTTP status; write it like 403`;
  }
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
        maxBytes: body.maxRequestBytes ?? defaultBodyBytes,
        allowPartial: body.allowPartialMessage ?? false,
        asBytes: body.packAsBytes ?? false,
      },
    }),
    pathPrefix: settings.pathPrefix ?? '',
    requestHeaders: (settings.includeRequestHeadersInCheck ?? settings.includeHeadersInCheck ?? []).map(textMatch),
    additionalHeaders: Object.entries(settings.includeAdditionalHeadersInCheck ?? {}).map(([header, value]) => ({ name: header, value })),
    headersToUpstreamOnAllow: (settings.headersToUpstreamOnAllow ?? []).map(textMatch),
    headersToDownstreamOnDeny: (settings.headersToDownstreamOnDeny ?? []).map(textMatch),
    headersToDownstreamOnAllow: (settings.headersToDownstreamOnAllow ?? []).map(textMatch),
  };
}

const units = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

/** `5s`, `1m30s`, `0.5s`. Undefined for anything else. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|h|m|s))+$/.test(text)) return undefined;
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g);
  return [...parts].reduce((sum, [, amount, unit]) => sum + Number(amount) * units[unit as keyof typeof units], 0);
}
