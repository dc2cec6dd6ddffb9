/**
 * The certificate of the xDS server. Made here when the Secret is missing, used as it is when somebody else (cert-manager, an operator) wrote it.
 *
 *   Secret kgateway-xds-cert {tls.crt, tls.key, ca.crt, ca.key} ─> server, and ca.crt ─> bootstrap of every proxy
 */
import { X509Certificate as NodeCertificate, createPrivateKey, webcrypto } from 'node:crypto';
import { isConflict } from '../kube/api-error.ts';
import type { KubeClient } from '../kube/client.ts';
import { Secrets } from '../kube/resources.ts';
import type { Secret } from '../kube/types/core.ts';
import type { KeyPair, ServerCertificate } from '../xds/server.ts';
import { generateKeys, keyAlgorithm, privateKeyPem, x509 } from './x509.ts';

export const xdsSecretName = 'kgateway-xds-cert';

/** On Secrets that we made: only those are renewed by us. */
const managedLabel = 'kgateway.dev/managed-certificate';

const day = 86_400_000;
const caDays = 3650;
const certificateDays = 365;
const renewBeforeDays = 120;

export interface XdsCertificate extends KeyPair {
  /** PEM of the CA. */
  readonly ca: string;
  /** PEM of its key, when the CA is ours. */
  readonly caKey?: string;
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
}

function validity(now: number, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + days * day) };
}

async function createIssuer(now: number): Promise<Issuer> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=kgateway xDS CA',
    keys: keys as never,
    signingAlgorithm: keyAlgorithm,
    ...validity(now, caDays),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate, privateKey: keys.privateKey };
}

/** A serving certificate for the names, valid for a year from `now`, by the CA of `issued`, or by a new one (ten years). */
export async function createCertificate(dnsNames: readonly string[], now: number, issued?: XdsCertificate): Promise<XdsCertificate> {
  const issuer = (issued && (await issuerOf(issued, now))) ?? (await createIssuer(now));
  const keys = await generateKeys();
  const leaf = await x509.X509CertificateGenerator.create({
    subject: `CN=${dnsNames[0] ?? 'kgateway'}`.slice(0, 64),
    issuer: issuer.certificate.subject,
    publicKey: keys.publicKey as never,
    signingKey: issuer.privateKey as never,
    signingAlgorithm: keyAlgorithm,
    ...validity(now, certificateDays),
    extensions: [
      new x509.SubjectAlternativeNameExtension(dnsNames.map((value) => ({ type: 'dns' as const, value }))),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  return {
    certificate: Buffer.from(`${leaf.toString('pem')}\n`),
    privateKey: Buffer.from(await privateKeyPem(keys.privateKey)),
    ca: `${issuer.certificate.toString('pem')}\n`,
    caKey: await privateKeyPem(issuer.privateKey),
  };
}

/** The CA that issued a certificate, so that proxies need not learn a new one; undefined when it is not ours or itself near its end. */
async function issuerOf(issued: XdsCertificate, now: number): Promise<Issuer | undefined> {
  if (issued.caKey === undefined) return undefined;
  const certificate = new x509.X509Certificate(issued.ca);
  if (certificate.notAfter.getTime() - now < (certificateDays + renewBeforeDays) * day) return undefined;
  const der = createPrivateKey(issued.caKey).export({ format: 'der', type: 'pkcs8' });
  return { certificate, privateKey: await webcrypto.subtle.importKey('pkcs8', der, keyAlgorithm, true, ['sign']) };
}

/** The Secret's certificate; created when the Secret is missing, renewed when it is ours and near its end. Any replica may get there first. */
export async function ensureCertificate(
  client: KubeClient,
  namespace: string,
  dnsNames: readonly string[],
  now: number,
): Promise<XdsCertificate> {
  const key = `${namespace}/${xdsSecretName}`;
  const current = await client.get(Secrets, key);
  if (current && !needsRenewal(current, now)) return certificateOf(current);
  const secret = secretOf(namespace, await createCertificate(dnsNames, now, current && certificateOf(current)));
  try {
    if (!current) return certificateOf(await client.create(Secrets, secret));
    const metadata = { ...secret.metadata, resourceVersion: current.metadata.resourceVersion ?? '' };
    return certificateOf(await client.replace(Secrets, { ...secret, metadata }));
  } catch (error) {
    // Another replica was first: its certificate is as good.
    const theirs = isConflict(error) ? await client.get(Secrets, key) : undefined;
    if (!theirs) throw error;
    return certificateOf(theirs);
  }
}

/** The certificate in a Secret. Throws, with the next step, when a part is missing. */
export function certificateOf(secret: Secret): XdsCertificate {
  const part = (name: string): Buffer => {
    const text = secret.data?.[name];
    if (text === undefined) {
      throw new Error(
        `Secret ${secret.metadata.namespace}/${xdsSecretName} has no ${name}; delete it to have one made, or write tls.crt, tls.key and ca.crt`,
      );
    }
    return Buffer.from(text, 'base64');
  };
  const caKey = secret.data?.['ca.key'];
  return {
    certificate: part('tls.crt'),
    privateKey: part('tls.key'),
    ca: part('ca.crt').toString(),
    ...(caKey !== undefined && { caKey: Buffer.from(caKey, 'base64').toString() }),
  };
}

function needsRenewal(secret: Secret, now: number): boolean {
  if (secret.metadata.labels?.[managedLabel] !== 'true') return false;
  const pem = secret.data?.['tls.crt'];
  if (pem === undefined) return true;
  return new NodeCertificate(Buffer.from(pem, 'base64')).validToDate.getTime() - now < renewBeforeDays * day;
}

function secretOf(namespace: string, made: XdsCertificate): Secret {
  const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: xdsSecretName, namespace, labels: { [managedLabel]: 'true', 'app.kubernetes.io/managed-by': 'kgateway' } },
    type: 'kubernetes.io/tls',
    data: {
      'tls.crt': base64(made.certificate),
      'tls.key': base64(made.privateKey),
      'ca.crt': base64(made.ca),
      'ca.key': base64(made.caKey ?? ''),
    },
  };
}

/** A certificate that can be replaced while the server runs. */
export class CurrentCertificate implements ServerCertificate {
  #pair: XdsCertificate;
  readonly #listeners = new Set<() => void>();

  constructor(pair: XdsCertificate) {
    this.#pair = pair;
  }

  current(): XdsCertificate {
    return this.#pair;
  }

  /** New connections get the pair from now on. */
  replace(pair: XdsCertificate): void {
    if (pair.certificate.equals(this.#pair.certificate)) return;
    this.#pair = pair;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
