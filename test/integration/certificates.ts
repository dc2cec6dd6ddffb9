/** CAs and certificates for tests, for servers and for clients. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { type PeerCertificate, connect } from 'node:tls';
import * as x509 from '@peculiar/x509';

/** In PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface Names {
  readonly dns?: readonly string[];
  readonly uris?: readonly string[];
}

export interface CertificateFields {
  /** Absent: it has no subject but its names. */
  readonly commonName?: string;
  readonly names?: Names;
  readonly usages: readonly ('server' | 'client')[];
  /** A day unless given; negative: it has ended. */
  readonly lifetimeSeconds?: number;
}

export interface Authority {
  /** Its certificate in PEM. */
  readonly pem: string;
  /** A certificate for a new key. */
  issue(usage: 'server' | 'client', commonName: string, names?: Names): Promise<KeyPair>;
  /** The same with all fields at choice. */
  issueWith(fields: CertificateFields): Promise<KeyPair>;
  /** A certificate for a key, in PEM. */
  certify(publicKey: x509.PublicKey, fields: CertificateFields): Promise<string>;
  /** The list of certificates that are not to be taken any more, in PEM. */
  readonly revoke: (...certificates: readonly string[]) => Promise<string>;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
x509.cryptoProvider.set(webcrypto as never);

const extendedUsages = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth } as const;
const day = 86_400;
const generate = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

function validity(lifetimeSeconds = day): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + lifetimeSeconds * 1000) };
}

/** A CA with a key of its own. */
export async function createAuthority(name: string): Promise<Authority> {
  const keys = await generate();
  const own = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys: keys as never,
    signingAlgorithm: algorithm,
    ...validity(),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const certify: Authority['certify'] = async (publicKey, { commonName, names: { dns = [], uris = [] } = {}, usages, lifetimeSeconds }) => {
    const names = [...dns.map((value) => ({ type: 'dns' as const, value })), ...uris.map((value) => ({ type: 'url' as const, value }))];
    const leaf = await x509.X509CertificateGenerator.create({
      ...(commonName !== undefined && { subject: `CN=${commonName}` }),
      issuer: own.subject,
      publicKey,
      signingKey: keys.privateKey as never,
      signingAlgorithm: algorithm,
      ...validity(lifetimeSeconds),
      extensions: [
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names, commonName === undefined)] : []),
        new x509.ExtendedKeyUsageExtension(usages.map((usage) => extendedUsages[usage])),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      ],
    });
    return `${leaf.toString('pem')}\n`;
  };
  const issueWith: Authority['issueWith'] = async (fields) => {
    const pair = await generate();
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', pair.privateKey);
    return {
      certificate: await certify(pair.publicKey as never, fields),
      privateKey: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
    };
  };
  return {
    pem: `${own.toString('pem')}\n`,
    certify,
    issueWith,
    revoke: async (...certificates) => {
      const { notBefore: thisUpdate, notAfter: nextUpdate } = validity();
      const entries = certificates.map((pem) => ({
        serialNumber: new x509.X509Certificate(pem).serialNumber,
        revocationDate: thisUpdate,
        // Without a reason there would be an empty list of extensions, which Envoy does not read.
        reason: x509.X509CrlReason.keyCompromise,
      }));
      const list = { issuer: own.subject, thisUpdate, nextUpdate, entries };
      const crl = await x509.X509CrlGenerator.create({ ...list, signingKey: keys.privateKey as never, signingAlgorithm: algorithm });
      return `${x509.PemConverter.encode(crl.rawData, 'X509 CRL')}\n`;
    },
    issue: (usage, commonName, names = {}) => issueWith({ commonName, names, usages: [usage] }),
  };
}

const base64 = (text: string | Uint8Array): string => Buffer.from(text as string).toString('base64');

/** The certificate that a port shows for a server name; rejects when there is no handshake. */
export function shownCertificate(port: number, servername?: string, host = '127.0.0.1'): Promise<PeerCertificate> {
  return new Promise((resolve, reject) => {
    const options = { host, port, rejectUnauthorized: false, ...(servername !== undefined && { servername }) };
    const socket = connect(options, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/** A TLS Secret with that pair, in PEM; of the namespace that is meant where it names none. */
export function secretOf(name: string, pair: { readonly [F in keyof KeyPair]: string | Uint8Array }, namespace?: string): string {
  return `---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: { name: ${name}${namespace === undefined ? '' : `, namespace: ${namespace}`} }
data: { tls.crt: ${base64(pair.certificate)}, tls.key: ${base64(pair.privateKey)} }
`;
}

/** A ConfigMap with those CAs, in PEM. */
export function caMapOf(name: string, ...pems: readonly string[]): string {
  return `---
apiVersion: v1
kind: ConfigMap
metadata: { name: ${name} }
data: { ca.crt: ${JSON.stringify(pems.join(''))} }
`;
}
