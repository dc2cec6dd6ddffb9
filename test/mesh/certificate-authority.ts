/** A small CA of a mesh: speaks Istio's protocol, certifies whatever identity a token names (`ns/x/sa/y`), for as long as it is told. */
import 'reflect-metadata';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import { createCertificateMethod, requestType, responseType } from '../../src/cmd/identity/certificate-authority.ts';
import { type CertificateFields, createAuthority } from '../integration/certificates.ts';

/** In PEM, as `node:tls` calls them. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface MeshCa {
  /** PEM. */
  readonly root: string;
  /** A certificate for a SPIFFE identity, and its key. */
  issue(identity: string, lifetimeSeconds?: number, dnsNames?: readonly string[]): Promise<KeyPair>;
  /** A CSR's key certified. */
  certify(publicKey: x509.PublicKey, identity: string, lifetimeSeconds: number): Promise<string>;
  /** The list of certificates that are not to be taken any more, PEM. */
  revoke(...certificates: readonly string[]): Promise<string>;
}

/** Makes a CA with a root of its own. */
export async function meshCa(name = 'mesh'): Promise<MeshCa> {
  const authority = await createAuthority(name);
  const fields = (identity: string, lifetimeSeconds: number, dns: readonly string[] = []): CertificateFields => ({
    names: { uris: [identity], dns },
    usages: ['server', 'client'],
    lifetimeSeconds,
  });
  return {
    root: authority.pem,
    certify: (publicKey, identity, lifetimeSeconds) => authority.certify(publicKey, fields(identity, lifetimeSeconds)),
    revoke: authority.revoke,
    issue: async (identity, lifetimeSeconds = 3600, dnsNames = []) => {
      const { certificate: cert, privateKey: key } = await authority.issueWith(fields(identity, lifetimeSeconds, dnsNames));
      return { cert, key };
    },
  };
}

export interface CaServer {
  readonly address: string;
  /** How many certificates it has given out. */
  issued(): number;
  stop(): void;
}

/** The name that the server's certificate bears. */
export const caServerName = 'istiod.istio-system.svc';

export interface CaServerOptions {
  readonly trustDomain?: string;
  /** What it grants; a function that throws refuses. */
  readonly lifetimeSeconds: () => number;
  /** Who asks for longer is refused, as by istiod; who names no time is not. */
  readonly longestSeconds?: () => number;
}

class TooLong extends Error {}

interface CsrMessage {
  readonly csr: string;
  readonly validity_duration?: unknown;
}

/** Serves a CA on loopback. */
export async function serveCa(ca: MeshCa, o: CaServerOptions): Promise<CaServer> {
  const own = await ca.issue('spiffe://cluster.local/ns/istio-system/sa/istiod', 3600, [caServerName]);
  const credentials = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(own.cert), private_key: Buffer.from(own.key) }]);
  let issued = 0;
  const answer = async (call: ServerUnaryCall<CsrMessage, object>): Promise<object> => {
    const token = String(call.metadata.get('authorization')[0] ?? '').replace(/^Bearer /, '');
    const csr = new x509.Pkcs10CertificateRequest(call.request.csr);
    if (Number(call.request.validity_duration ?? 0) > (o.longestSeconds?.() ?? Infinity)) throw new TooLong('requested TTL is too long');
    if (!(await csr.verify())) throw new Error('the CSR is not signed by its key');
    const leaf = await ca.certify(csr.publicKey, `spiffe://${o.trustDomain ?? 'cluster.local'}/${token}`, o.lifetimeSeconds());
    issued++;
    return { cert_chain: [leaf, ca.root] };
  };
  const server = new Server();
  const path = createCertificateMethod;
  server.addService(
    {
      CreateCertificate: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: (message: object) => Buffer.from(requestType.encode(requestType.create(message)).finish()),
        requestDeserialize: (bytes: Buffer) => requestType.toObject(requestType.decode(bytes)),
        responseSerialize: (message: object) => Buffer.from(responseType.encode(responseType.create(message)).finish()),
        responseDeserialize: (bytes: Buffer) => responseType.toObject(responseType.decode(bytes)),
      },
    },
    {
      CreateCertificate: (call: ServerUnaryCall<CsrMessage, object>, callback: sendUnaryData<object>) => {
        // gRPC takes the answer by a callback.
        void (async () => {
          const answered = await answer(call).catch((error: unknown) => ({
            code: error instanceof TooLong ? status.INVALID_ARGUMENT : status.UNAVAILABLE,
            details: String(error),
          }));
          if ('details' in answered) callback(answered);
          else callback(null, answered);
        })();
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  return { address: `127.0.0.1:${port}`, issued: () => issued, stop: () => server.forceShutdown() };
}
