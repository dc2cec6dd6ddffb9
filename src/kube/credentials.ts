// How to reach the API server and who we are. In a cluster: the projected ServiceAccount token, read here, because client-node costs 270 ms
// and 80 MB to import. Outside: client-node's KubeConfig, for its exec, OIDC, cloud and token-file plugins.
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { KubeConfig } from '@kubernetes/client-node';

/** What one call carries. */
export interface Session {
  readonly headers: Readonly<Record<string, string>>;
  /** CA, client certificate and server name. */
  readonly tls: Readonly<ConnectionOptions>;
}

export interface Credentials {
  /** `https://host:port`, with a path prefix if the kubeconfig has one, without a trailing slash. */
  readonly server: string;
  /** Our own namespace in a cluster, or that of the kubeconfig's context. */
  readonly namespace: string | undefined;
  /** An HTTP proxy in front of the API server. */
  readonly proxy?: string | undefined;
  /** Reads tokens and certificates as they are now; the client caches the answer for a minute, as client-go does. */
  session(): Promise<Session>;
}

const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** True in a Pod that has a ServiceAccount. */
function inCluster(env: NodeJS.ProcessEnv = process.env): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && (env['KUBERNETES_SERVICE_PORT'] ?? '') !== '';
}

/** The Pod's ServiceAccount. @throws when the token or the CA cannot be read. */
export async function clusterCredentials(folder = serviceAccountFolder, env: NodeJS.ProcessEnv = process.env): Promise<Credentials> {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const read = (file: string): Promise<string> => readFile(`${folder}/${file}`, 'utf8');
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
    namespace: (await read('namespace').catch(() => '')).trim() || undefined,
    session: async () => {
      const [token, ca] = await Promise.all([read('token'), read('ca.crt')]);
      return { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } };
    },
  };
}

/** A kubeconfig's current context. @throws when the context names no cluster. */
function kubeConfigCredentials(config: KubeConfig): Credentials {
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new Error('The kubeconfig has no current cluster: set current-context, or give --kubeconfig or KUBECONFIG.');
  return {
    server: cluster.server.replace(/\/$/, ''),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? undefined,
    proxy: cluster.proxyUrl,
    session: async () => {
      const options: Parameters<KubeConfig['applyToHTTPSOptions']>[0] = {};
      await config.applyToHTTPSOptions(options);
      const headers = Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)] as const);
      if (typeof options.auth === 'string') headers.push(['authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`]);
      const tls: ConnectionOptions = {};
      if (options.ca) tls.ca = options.ca;
      if (options.cert) tls.cert = options.cert;
      if (options.key) tls.key = options.key;
      if (options.pfx) tls.pfx = options.pfx;
      if (options.passphrase) tls.passphrase = options.passphrase;
      if (options.rejectUnauthorized !== undefined) tls.rejectUnauthorized = options.rejectUnauthorized;
      if (cluster.tlsServerName) tls.servername = cluster.tlsServerName;
      return { headers: Object.fromEntries(headers), tls };
    },
  };
}

/** KUBECONFIG or ~/.kube/config when there is one and we are not in a Pod; `file` wins over both. */
export async function defaultCredentials(file?: string): Promise<Credentials> {
  if (file === undefined && !process.env['KUBECONFIG'] && inCluster()) return clusterCredentials();
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  return kubeConfigCredentials(config);
}
