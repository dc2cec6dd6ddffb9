/** Istio's CA over gRPC (istio.v1.auth.IstioCertificateService): a CSR for a chain; who we are says our ServiceAccount token. */
import { webcrypto } from 'node:crypto';
import { Client, Metadata, type ServiceError, credentials, status } from '@grpc/grpc-js';
import { Field, Root, Type } from 'protobufjs';
import { generateKeys, keyAlgorithm, privateKeyPem, x509 } from '../x509.ts';

export interface CertificateAuthority {
  /** `host:port`. */
  readonly address: string;
  /** The name that its certificate must bear, when it is not the host's. */
  readonly serverName?: string;
  /** Which cluster our token is of, as istiod calls it. */
  readonly clusterId: string;
}

export interface CertificateRequest {
  /** CAs that may have signed its certificate, PEM. */
  readonly roots: string;
  readonly token: string;
  /** How long the certificate is to be valid, in seconds; the CA decides, and where that is too long to it, takes its own default. */
  readonly lifetimeSeconds: number;
}

export interface IssuedCertificate {
  /** Leaf first, PEM. */
  readonly chain: string;
  readonly privateKey: string;
  /** In milliseconds since 1970. */
  readonly notAfter: number;
  /** What the CA says who we are: the URI in the certificate. */
  readonly identity: string;
}

/** security/v1alpha1/ca.proto, as far as it is used. */
const messages = new Root();
export const requestType = new Type('IstioCertificateRequest')
  .add(new Field('csr', 1, 'string'))
  .add(new Field('validity_duration', 3, 'int64'));
export const responseType = new Type('IstioCertificateResponse').add(new Field('cert_chain', 1, 'string', 'repeated'));
messages.add(requestType).add(responseType);

export const createCertificateMethod = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
const deadlineMs = 10_000;

/** Makes a key and has it certified. Rejects when the CA does not answer, refuses, or answers with what does not fit the key. */
export async function requestCertificate(authority: CertificateAuthority, request: CertificateRequest): Promise<IssuedCertificate> {
  const keys = await generateKeys();
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({ keys: keys as never, signingAlgorithm: keyAlgorithm });
  const ask = (lifetimeSeconds: number) => createCertificate(authority, { ...request, lifetimeSeconds }, csr.toString('pem'));
  const chain = await ask(request.lifetimeSeconds).catch((error: ServiceError) => {
    // istiod refuses what is longer than its MAX_WORKLOAD_CERT_TTL, and grants its default to who names nothing.
    if (error.code !== status.INVALID_ARGUMENT) throw error;
    return ask(0);
  });
  const [first = ''] = chain;
  const leaf = new x509.X509Certificate(first);
  const own = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  if (!own.equals(Buffer.from(leaf.publicKey.rawData))) throw new Error('the CA certified another key than ours');
  const names = leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
  return {
    // Behind the leaf whatever leads to a root; the root itself, which peers have, comes last and stays away.
    chain: (chain.length > 1 ? chain.slice(0, -1) : chain).map((pem) => `${pem.trim()}\n`).join(''),
    privateKey: await privateKeyPem(keys.privateKey),
    notAfter: leaf.notAfter.getTime(),
    identity: names.find((n) => n.type === 'url')?.value ?? '',
  };
}

function createCertificate(authority: CertificateAuthority, request: CertificateRequest, csr: string): Promise<readonly string[]> {
  const options = authority.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': authority.serverName };
  const client = new Client(authority.address, credentials.createSsl(Buffer.from(request.roots)), options);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${request.token}`);
  metadata.set('clusterid', authority.clusterId);
  return new Promise<readonly string[]>((resolve, reject) => {
    client.makeUnaryRequest(
      createCertificateMethod,
      (message: object) => Buffer.from(requestType.encode(requestType.create(message)).finish()),
      (bytes) => (responseType.toObject(responseType.decode(bytes)) as { cert_chain?: string[] }).cert_chain ?? [],
      { csr, validity_duration: request.lifetimeSeconds },
      metadata,
      { deadline: Date.now() + deadlineMs },
      (error, chain) => {
        if (error) reject(error);
        else if (!chain || chain.length === 0) reject(new Error('the CA answered without a certificate'));
        else resolve(chain);
      },
    );
  }).finally(() => client.close());
}
