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

export interface Authority {
  /** Its certificate in PEM. */
  readonly pem: string;
  issue(usage: 'server' | 'client', commonName: string, names?: Names): Promise<KeyPair>;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
x509.cryptoProvider.set(webcrypto as never);

const generate = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

function validity(): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 86_400_000) };
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
  return {
    pem: `${own.toString('pem')}\n`,
    issue: async (usage, commonName, { dns = [], uris = [] } = {}) => {
      const pair = await generate();
      const names = [...dns.map((value) => ({ type: 'dns' as const, value })), ...uris.map((value) => ({ type: 'url' as const, value }))];
      const leaf = await x509.X509CertificateGenerator.create({
        subject: `CN=${commonName}`,
        issuer: own.subject,
        publicKey: pair.publicKey as never,
        signingKey: keys.privateKey as never,
        signingAlgorithm: algorithm,
        ...validity(),
        extensions: [
          ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
          new x509.ExtendedKeyUsageExtension([usage === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth]),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        ],
      });
      const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey)).toString('base64');
      const privateKey = `-----BEGIN PRIVATE KEY-----\n${(der.match(/.{1,64}/g) ?? []).join('\n')}\n-----END PRIVATE KEY-----\n`;
      return { certificate: `${leaf.toString('pem')}\n`, privateKey };
    },
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
