/** Certificates of TLS clients. Those of the controller are of servers, and a verifier tells them apart. */
import { createPrivateKey, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { XdsCertificate } from '../../src/cmd/xds-certificate.ts';

export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 24 * 60 * 60 * 1000;

/** A certificate for a client of that DNS name, signed by the CA of `issuer`. */
export async function clientCertificate(name: string, issuer: XdsCertificate): Promise<ClientCertificate> {
  const { subtle } = webcrypto;
  const ca = new x509.X509Certificate(issuer.ca);
  const der = createPrivateKey(issuer.caKey ?? '').export({ format: 'der', type: 'pkcs8' });
  const keys = await subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: ca.subject,
    publicKey: keys.publicKey as never,
    signingKey: (await subtle.importKey('pkcs8', der, algorithm, true, ['sign'])) as never,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    ],
  });
  const key = Buffer.from(await subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { cert: certificate.toString('pem'), key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` };
}
