/**
 * TLS that a DestinationRule asks for: [ClientTLSSettings, TlsCredential] -> UpstreamTls.
 *
 * What cannot be verified, or shown, as it is asked for is not reached at all.
 */
import { isIP } from 'node:net';
import type { UpstreamTls } from '../ir/backend.ts';
import type { SubjectAltName } from '../ir/listener.ts';
import type { TlsCredential } from '../ir/traffic.ts';
import type { TrafficPolicySettings } from '../kube/types/istio-networking.ts';
import type { PolicyProblem } from './policy.ts';

/** What a backend and its waypoint add to the settings. */
export interface TlsBackend {
  /** As far as its certificate is concerned; absent where the name is the one that requests ask for. */
  readonly host?: string;
  /** Of the ServiceEntry. */
  readonly subjectAltNames: readonly string[];
  /** The Secret of that name in the namespace of the waypoint. */
  readonly credential: (name: string) => TlsCredential;
}

export type TlsSettings = NonNullable<TrafficPolicySettings['tls']>;

/** CAs of the image of the proxy: by Istio's name for them, and where they are. */
const systemCas = ['system', '/etc/ssl/certs/ca-certificates.crt'];

/** The Secret that the settings name and that is used; undefined: none. */
export function credentialName(tls: TlsSettings | undefined): string | undefined {
  return tls && originates(tls) && tls.credentialName !== undefined && isSecretName(tls.credentialName) ? tls.credentialName : undefined;
}

/** Undefined where the proxy adds no TLS: none is asked for, or that of the mesh, which is there between all of its workloads. */
export function upstreamTls(tls: TlsSettings, backend: TlsBackend): UpstreamTls | undefined {
  if (!originates(tls)) return undefined;
  const sni = tls.sni || backend.host;
  const asked = tls.subjectAltNames?.length ? tls.subjectAltNames : backend.subjectAltNames;
  const names = asked.length > 0 ? asked : sni === undefined ? [] : [sni];
  const name = credentialName(tls);
  const credential = name === undefined ? undefined : backend.credential(name);
  const certificate = tls.mode === 'MUTUAL' ? credential?.pair.sds : undefined;
  const unverified = credential !== undefined && tls.insecureSkipVerify !== true && 'problem' in credential.ca;
  const isClosed = tlsProblems(tls, '').length > 0 || unverified || (tls.mode === 'MUTUAL' && certificate === undefined);
  return {
    ...(sni !== undefined && { sni }),
    trust: isClosed ? 'nobody' : trustOf(tls, credential),
    subjectAltNames: names.map(subjectAltName),
    ...(certificate !== undefined && { clientCertificate: certificate }),
  };
}

function trustOf(tls: TlsSettings, credential: TlsCredential | undefined): UpstreamTls['trust'] {
  if (tls.insecureSkipVerify === true) return 'anybody';
  return credential && 'pem' in credential.ca ? credential.ca : 'system';
}

/** Istio has no types for them: the name says what it is. */
function subjectAltName(value: string): SubjectAltName {
  const type = value.includes('://') ? 'uri' : isIP(value) !== 0 ? 'ip' : value.includes('@') ? 'email' : 'dns';
  return { type, value };
}

function originates({ mode }: TlsSettings): boolean {
  return mode === 'SIMPLE' || mode === 'MUTUAL';
}

function isSecretName(name: string): boolean {
  return /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(name);
}

/** How messages say so. */
const closed = 'so its backends are not reached';

/** Why backends are not reached, whatever there is at the waypoint. Files are not in its Pod. */
export function tlsProblems(tls: TlsSettings, field: string): readonly PolicyProblem[] {
  if (!originates(tls)) return [];
  const { mode, credentialName: secret, clientCertificate, privateKey, caCertificates, caCrl, insecureSkipVerify } = tls;
  const file = `names a file that the Pod of a waypoint does not have, ${closed}: use credentialName`;
  const of = (name: string, message: string): readonly PolicyProblem[] => [{ field: `${field}.${name}`, message }];
  if (secret !== undefined) {
    if (!isSecretName(secret)) return of('credentialName', `is no name of a Secret, ${closed}: name one in the namespace of the waypoint`);
    return caCrl === undefined ? [] : of('caCrl', `does not go with credentialName, ${closed}: put ca.crl into that Secret`);
  }
  if (mode === 'MUTUAL' && clientCertificate === undefined && privateKey === undefined) {
    return of('credentialName', `is missing for MUTUAL, ${closed}: name a Secret in the namespace of the waypoint`);
  }
  return [
    ...(mode === 'MUTUAL' ? of('clientCertificate', file) : []),
    ...(insecureSkipVerify !== true && caCertificates !== undefined && !systemCas.includes(caCertificates)
      ? of('caCertificates', `${file}, or \`system\` for the CAs of the image`)
      : []),
    ...(insecureSkipVerify !== true && caCrl !== undefined ? of('caCrl', file) : []),
  ];
}

/** What is wrong with the Secret as it is now. */
export function credentialProblems(tls: TlsSettings, { pair, ca }: TlsCredential): readonly string[] {
  const problems = [
    ...(tls.mode === 'MUTUAL' && pair.problem !== undefined
      ? [`${pair.problem}, ${pair.sds === undefined ? closed : 'so the last valid one is shown'}`]
      : []),
    ...(tls.insecureSkipVerify !== true && 'problem' in ca ? [`${ca.problem}, ${closed}`] : []),
  ];
  return [...new Set(problems)];
}
