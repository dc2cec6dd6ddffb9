/** The certificate of a proxy that takes part in the mesh by itself: an agent beside it writes, and Envoy reads, one file for each of these. */

/** Where the files are in the Pod of a proxy. */
export const identityFolder = '/var/run/secrets/workload-spiffe-credentials';

/** SDS names, as istioctl looks for them, and the files that hold them: certificate and key, and the CAs of the mesh. */
export const identitySecret = 'default';
export const trustSecret = 'ROOTCA';

/** The file of a secret. */
export function secretFileName(secret: string): string {
  return `${secret}.json`;
}

/** The trust domains of a mesh: never none, which would be taken for all. */
export type TrustDomains = readonly [own: string, ...aliases: string[]];
