/** Certificates for the Pods of a cluster: of istiod's CA where there is an istiod, each for a token of its ServiceAccount; else of a CA of our own. */
import { type CertificateAuthority, requestCertificate } from '../../src/cmd/identity/certificate-authority.ts';
import { caServerName, meshCa } from './certificate-authority.ts';
import type { MeshTls } from './hbone.ts';
import type { Istiod } from './istiod.ts';

export interface Identities {
  /** The certificate of a ServiceAccount; the same until it is half over. */
  of(namespace: string, account: string): Promise<MeshTls>;
}

export const identityOf = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;

interface Issued {
  readonly tls: MeshTls;
  /** In milliseconds since 1970. */
  readonly notAfter: number;
}

interface Held extends Issued {
  readonly renewAt: number;
}

const retryMs = 2000;

/** Without an istiod from a CA of our own. */
export async function identities(istiod: Istiod | undefined): Promise<Identities> {
  const known = new Map<string, Promise<Held>>();
  const issue = istiod ? byIstiod(istiod) : await byOurselves();
  async function renewed(namespace: string, account: string, before: Held | undefined): Promise<Held> {
    try {
      const next = await issue(namespace, account);
      return { ...next, renewAt: (Date.now() + next.notAfter) / 2 };
    } catch (error) {
      // Like ztunnel: what is there is used to its end.
      if (!before || before.notAfter < Date.now()) throw error;
      return { ...before, renewAt: Date.now() + retryMs };
    }
  }
  return {
    of: async (namespace, account) => {
      const key = `${namespace}/${account}`;
      const held = await known.get(key)?.catch(() => undefined);
      if (held && held.renewAt > Date.now()) return held.tls;
      const next = renewed(namespace, account, held);
      known.set(key, next);
      return (await next).tls;
    },
  };
}

type Issue = (namespace: string, account: string) => Promise<Issued>;

function byIstiod({ address, roots, token }: Istiod): Issue {
  const authority: CertificateAuthority = { address, serverName: caServerName, clusterId: 'Kubernetes' };
  return async (namespace, account) => {
    const request = { roots, token: await token(namespace, account), lifetimeSeconds: 3600 };
    const { chain, privateKey, notAfter } = await requestCertificate(authority, request);
    return { tls: { cert: chain, key: privateKey, ca: roots }, notAfter };
  };
}

async function byOurselves(): Promise<Issue> {
  const ca = await meshCa();
  const day = 86_400;
  return async (namespace, account) => ({
    tls: { ...(await ca.issue(identityOf(namespace, account), day)), ca: ca.root },
    notAfter: Date.now() + day * 1000,
  });
}
