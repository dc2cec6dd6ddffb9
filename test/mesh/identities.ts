/** Certificates for the Pods of a cluster: of istiod's CA where there is one, each for a token of its ServiceAccount; else of a CA of our own. */
import { type CertificateAuthority, requestCertificate } from '../../src/cmd/identity/certificate-authority.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { ConfigMaps, Deployments, ServiceAccounts, Services } from '../../src/kube/resources.ts';
import type { ConfigMap } from '../../src/kube/types/core.ts';
import type { KubeObject } from '../../src/kube/types/meta.ts';
import { caServerName, meshCa } from './certificate-authority.ts';
import type { MeshTls } from './hbone.ts';

export interface Identities {
  /** The certificate of a ServiceAccount; the same until it is half over. */
  of(namespace: string, account: string): Promise<MeshTls>;
}

interface TokenRequest extends KubeObject {
  readonly spec: { readonly audiences: readonly string[]; readonly expirationSeconds: number };
  readonly status?: { readonly token: string };
}

export const identityOf = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;

/** Finds out which CA there is. */
export async function identities(client: KubeClient): Promise<Identities> {
  const known = new Map<string, { readonly until: number; readonly tls: Promise<MeshTls> }>();
  const istiod = await client.get(Deployments, 'istio-system/istiod');
  const issue = istiod?.status?.readyReplicas ? await byIstiod(client) : await byOurselves();
  return {
    of: (namespace, account) => {
      const key = `${namespace}/${account}`;
      const current = known.get(key);
      if (current && current.until > Date.now()) return current.tls;
      const tls = issue(namespace, account);
      known.set(key, { until: Date.now() + 30 * 60_000, tls });
      tls.catch(() => known.delete(key));
      return tls;
    },
  };
}

type Issue = (namespace: string, account: string) => Promise<MeshTls>;

async function byIstiod(client: KubeClient): Promise<Issue> {
  const service = await client.get(Services, 'istio-system/istiod');
  const root = await client.get<ConfigMap>(ConfigMaps, 'istio-system/istio-ca-root-cert');
  const roots = root?.data?.['root-cert.pem'] ?? '';
  const authority: CertificateAuthority = {
    address: `${service?.spec.clusterIP}:15012`,
    serverName: caServerName,
    clusterId: 'Kubernetes',
  };
  return async (namespace, account) => {
    const tokens = { ...ServiceAccounts, kind: 'TokenRequest', plural: `serviceaccounts/${account}/token` };
    const request: TokenRequest = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { namespace, name: account },
      spec: { audiences: ['istio-ca'], expirationSeconds: 3600 },
    };
    const { status } = await client.create(tokens as never, request);
    const issued = await requestCertificate(authority, { roots, token: status?.token ?? '', lifetimeSeconds: 3600 });
    return { cert: issued.chain, key: issued.privateKey, ca: roots };
  };
}

async function byOurselves(): Promise<Issue> {
  const ca = await meshCa();
  return async (namespace, account) => ({ ...(await ca.issue(identityOf(namespace, account), 86_400)), ca: ca.root });
}
