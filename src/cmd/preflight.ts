/** `kgateway preflight`: reads the policies of a namespace and says what a waypoint changes for them. Writes nothing. */
import { describeFindings, preflight } from '../istio/preflight.ts';
import { defaultMesh, meshConfigKey, meshConfigMap, parseMesh } from '../istio/mesh.ts';
import { ApiError, isNotFound } from '../kube/api-error.ts';
import { type KubeClient, kubeClient } from '../kube/client.ts';
import { AuthorizationPolicies, ConfigMaps, RequestAuthentications, type Resource } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types/meta.ts';

/** Only listed here: nothing else of ours reads them. */
export const VirtualServices: Resource = {
  group: 'networking.istio.io',
  version: 'v1',
  kind: 'VirtualService',
  plural: 'virtualservices',
  namespaced: true,
};

/** What the command prints, and whether nothing was found and everything could be read. With the kubeconfig of the environment. */
export async function runPreflight(namespace: string, istioNamespace: string): Promise<{ readonly text: string; readonly clean: boolean }> {
  const client = await kubeClient({ userAgent: 'kgateway-preflight' });
  try {
    const config = await client.get(ConfigMaps, `${istioNamespace}/${meshConfigMap}`);
    const text = config?.data?.[meshConfigKey];
    const { rootNamespace } = (text === undefined ? undefined : parseMesh(text)) ?? defaultMesh;
    const namespaces = [...new Set([namespace, rootNamespace])];
    const unreadable = new Set<string>();
    const lists = async <T extends KubeObject>(r: Resource<T>, of = namespaces): Promise<readonly T[]> =>
      (await Promise.all(of.map((n) => items(client, r, n, () => unreadable.add(`${r.plural}.${r.group}`))))).flat();
    const [authorization, tokens, routes] = await Promise.all([
      lists(AuthorizationPolicies),
      lists(RequestAuthentications),
      lists(VirtualServices, [namespace]),
    ]);
    const inputs = { authorizationPolicies: authorization, requestAuthentications: tokens, virtualServices: routes };
    const findings = preflight({ namespace, rootNamespace, ...inputs });
    return { text: describeFindings(namespace, findings, [...unreadable]), clean: findings.length === 0 && unreadable.size === 0 };
  } finally {
    await client.close();
  }
}

/** Kinds that are not installed have no objects. */
async function items<T extends KubeObject>(
  client: KubeClient,
  r: Resource<T>,
  namespace: string,
  forbidden: () => void,
): Promise<readonly T[]> {
  try {
    return (await client.list(r, { namespace })).items;
  } catch (error) {
    if (isNotFound(error)) return [];
    if (!(error instanceof ApiError) || error.status !== 403) throw error;
    forbidden();
    return [];
  }
}
