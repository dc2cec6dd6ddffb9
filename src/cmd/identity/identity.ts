/**
 * The certificate of a proxy in the mesh, and the CAs that it trusts, as files that Envoy reads.
 *
 *   ServiceAccount token, CAs (ConfigMap istio-ca-root-cert) ─> CSR ─> CA of Istio ─> default.json ┐
 *                         CAs, revocations (ConfigMap istio-ca-crl) ────────────────> ROOTCA.json ┴─> a folder
 *
 * Renewed at about half of its life, and at once when the CAs change. While the CA is away the current one stays in use.
 */
import { readFileSync, renameSync, unwatchFile, watchFile, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identitySecret, secretFileName, trustSecret } from '../../ir/mesh-identity.ts';
import { backoffMillis, pause } from '../../kube/backoff.ts';
import { type CertificateAuthority, type IssuedCertificate, requestCertificate } from './certificate-authority.ts';

export interface IdentityOptions {
  readonly authority: CertificateAuthority;
  /** The kubelet writes it anew before it ends, so it is read each time. */
  readonly tokenFile: string;
  readonly rootsFile: string;
  /** Lists of certificates that were revoked, PEM: one of each CA, or nobody's certificate is taken. It need not exist. */
  readonly revokedFile?: string;
  /** Where the files go. */
  readonly folder: string;
  readonly lifetimeSeconds?: number;
  /** How often the CAs are looked at, in milliseconds. */
  readonly pollMs?: number;
  readonly on: {
    readonly issued: (certificate: Pick<IssuedCertificate, 'identity' | 'notAfter'>) => void;
    readonly failed: (error: unknown) => void;
  };
}

export interface Identity {
  /** True while there is a certificate that is valid. */
  valid(): boolean;
  stop(): Promise<void>;
}

const day = 86_400;
const firstRetryMs = 500;
const longestRetryMs = 30_000;
/** Where a proxy is about to be without a certificate, or is. */
const longestUrgentRetryMs = 5000;

/** Keeps the files up to date until it is stopped. */
export function keepIdentity(o: IdentityOptions): Identity {
  const end = new AbortController();
  let wake = new AbortController();
  let current: IssuedCertificate | undefined;

  const trustFiles = [o.rootsFile, ...(o.revokedFile === undefined ? [] : [o.revokedFile])];
  const trustChanged = (): void => wake.abort();
  for (const file of trustFiles) watchFile(file, { interval: o.pollMs ?? 5000, persistent: false }, trustChanged);

  const loop = (async () => {
    let failures = 0;
    while (!end.signal.aborted) {
      wake = new AbortController();
      try {
        const roots = readFileSync(o.rootsFile, 'utf8');
        const revoked = o.revokedFile === undefined ? undefined : readOrUndefined(o.revokedFile);
        // Envoy refuses what is no list, and goes on with what it has.
        const crl = revoked?.trim() && { crl: inline(revoked) };
        writeSecret(o.folder, trustSecret, { validation_context: { trusted_ca: inline(roots), ...crl } });
        const token = readFileSync(o.tokenFile, 'utf8').trim();
        const issued = await requestCertificate(o.authority, { roots, token, lifetimeSeconds: o.lifetimeSeconds ?? day });
        writeSecret(o.folder, identitySecret, {
          tls_certificate: { certificate_chain: inline(issued.chain), private_key: inline(issued.privateKey) },
        });
        current = issued;
        failures = 0;
        o.on.issued(issued);
      } catch (error) {
        failures++;
        o.on.failed(error);
      }
      const notAfter = current?.notAfter ?? 0;
      const wait = failures > 0 ? retryMillis(failures, notAfter, Date.now()) : renewalMillis(notAfter, Date.now());
      await pause(wait, AbortSignal.any([end.signal, wake.signal]));
    }
  })();

  return {
    valid: () => current !== undefined && current.notAfter > Date.now(),
    stop: async () => {
      end.abort();
      for (const file of trustFiles) unwatchFile(file, trustChanged);
      await loop;
    },
  };
}

/** How long to wait with a certificate that ends at `notAfter`: half of the time, give or take a tenth, so that Pods made together do not ask together. */
export function renewalMillis(notAfter: number, now: number, random: () => number = Math.random): number {
  return Math.min(Math.max(0, notAfter - now) * (0.45 + 0.1 * random()), longestTimer);
}

/** How long to wait after the n-th failure in a row, with a certificate that ends at `notAfter`. */
export function retryMillis(failures: number, notAfter: number, now: number, random: () => number = Math.random): number {
  const isUrgent = notAfter - now < 2 * longestRetryMs;
  return backoffMillis(failures, firstRetryMs, isUrgent ? longestUrgentRetryMs : longestRetryMs, random);
}

/** What setTimeout takes at most. */
const longestTimer = 2 ** 31 - 1;

/** As bytes: istioctl does not look at text. */
function inline(pem: string): { readonly inline_bytes: string } {
  return { inline_bytes: Buffer.from(pem).toString('base64') };
}

/** Envoy reads a file when another is moved in its place, and so never half of one. Only it and we mount the folder. */
function writeSecret(folder: string, name: string, secret: object): void {
  const path = join(folder, secretFileName(name));
  const text = JSON.stringify({
    resources: [{ '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret', name, ...secret }],
  });
  if (readOrUndefined(path) === text) return;
  writeFileSync(`${path}.new`, text, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
