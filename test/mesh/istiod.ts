/** How to speak to the istiod of a cluster: as one of its ServiceAccounts, over TLS. */
import type { KubeClient } from '../../src/kube/client.ts';
import { ConfigMaps, Deployments, ServiceAccounts, Services } from '../../src/kube/resources.ts';
import type { ConfigMap } from '../../src/kube/types/core.ts';
import type { KubeObject } from '../../src/kube/types/meta.ts';

export interface Istiod {
  /** `host:port` of its CA and its xDS. */
  readonly address: string;
  /** CAs of the mesh, PEM. */
  readonly roots: string;
  /** A token with which it takes us for a ServiceAccount. */
  readonly token: (namespace: string, account: string) => Promise<string>;
}

interface TokenRequest extends KubeObject {
  readonly spec: { readonly audiences: readonly string[]; readonly expirationSeconds: number };
  readonly status?: { readonly token: string };
}

/** Undefined where there is none that is ready. */
export async function findIstiod(client: KubeClient): Promise<Istiod | undefined> {
  const deployment = await client.get(Deployments, 'istio-system/istiod');
  if (!deployment?.status?.readyReplicas) return undefined;
  const service = await client.get(Services, 'istio-system/istiod');
  const root = await client.get<ConfigMap>(ConfigMaps, 'istio-system/istio-ca-root-cert');
  return {
    address: `${service?.spec.clusterIP}:15012`,
    roots: root?.data?.['root-cert.pem'] ?? '',
    token: async (namespace, account) => {
      const tokens = { ...ServiceAccounts, kind: 'TokenRequest', plural: `serviceaccounts/${account}/token` };
      const request: TokenRequest = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: { namespace, name: account },
        spec: { audiences: ['istio-ca'], expirationSeconds: 3600 },
      };
      const { status } = await client.create(tokens as never, request);
      return status?.token ?? '';
    },
  };
}
