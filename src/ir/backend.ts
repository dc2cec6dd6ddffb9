/**
 * Where traffic goes.
 *
 *   [Cluster] one port of one Service -> [Endpoint addresses], which change without touching anything else
 */
import type { SubjectAltName } from './listener.ts';
import type { EndpointPlace, Locality, PlacedPolicy } from './locality.ts';
import type { ObjectRef } from './object-ref.ts';
import type { SecretBytes } from './secret-bytes.ts';

/** What the backend speaks. `http1` is also what WebSocket upgrades go over. */
export type UpstreamProtocol = 'http1' | 'http2';

export interface Cluster {
  readonly name: string;
  readonly statName: string;
  readonly protocol: UpstreamProtocol;
  /** `namespace/name` of the Service whose EndpointSlices hold the addresses; empty with `discovery`. */
  readonly service: string;
  /** Name of the Service's port: how EndpointSlices refer to it. */
  readonly portName: string;
  readonly origin: ObjectRef;
  /**
   * Absent: the addresses are those of EndpointSlices. `mesh`: of a ServiceEntry. `pods`: of an InferencePool. `static`: these. `dns`: the proxy resolves
   * names. `host`: whatever the Host header of each request says, on `port` if given. `original-destination`: the address that the connection asks for, on `port` instead of
   * its own if given.
   */
  readonly discovery?:
    | { readonly from: 'mesh' | 'pods' }
    | { readonly from: 'static'; readonly endpoints: readonly Endpoint[] }
    | { readonly from: 'dns'; readonly endpoints: readonly Endpoint[]; readonly locality?: PlacedPolicy }
    | { readonly from: 'host'; readonly port?: number }
    | { readonly from: 'original-destination'; readonly port?: number };
  /** Absent: plain text. */
  readonly tls?: UpstreamTls;
  /** Requests are invocations of this function. */
  readonly lambda?: LambdaFunction;
  /** `pool`: an endpoint picker chooses the endpoint of each request. `fail-open-picker`: it is one that requests go on without. */
  readonly inference?: 'pool' | 'fail-open-picker';
  /** Of a ServiceEntry: one of these must be in the certificate of the backend, where nobody says otherwise. */
  readonly subjectAltNames?: readonly string[];
  /** What goes there is TLS of the client already, whatever policies of the backend say. */
  readonly passthrough?: true;
}

/** A function that requests are turned into invocations of. */
export interface LambdaFunction {
  readonly arn: string;
  /** Host header of the invocations, which is signed. */
  readonly host: string;
  /** The client gets the acceptance, not the answer. */
  readonly asynchronous: boolean;
  /** The body goes to the function as it is, instead of an event that describes the request. */
  readonly passthrough: boolean;
  /** Absent: those in the environment of the proxy. */
  readonly credentials?: { readonly accessKey: SecretBytes; readonly secretKey: SecretBytes; readonly sessionToken?: SecretBytes };
}

/** TLS to a backend, whose certificate is verified unless `anybody` is trusted, which only endpoint pickers are. */
export interface UpstreamTls {
  /** Absent: the name in the Host header of the request, which the certificate must be for. */
  readonly sni?: string;
  /** Who may have signed it: the CAs of the proxy's image, those given, or nobody, so that every connection fails. `crl`: what they revoked, in PEM. */
  readonly trust: 'system' | 'nobody' | 'anybody' | { readonly pem: string; readonly crl?: string };
  /** One of these must be in it. */
  readonly subjectAltNames: readonly SubjectAltName[];
  /** Name of the SDS secret that proxies show, instead of that of their Gateway. */
  readonly clientCertificate?: string;
}

export interface Endpoint {
  readonly address: string;
  /** Of the other family, of the same Pod: tried when the first one cannot be reached. */
  readonly otherAddress?: string;
  readonly port: number;
  readonly zone?: string;
  /** Where it is in full, as far as that is known: of a ServiceEntry, and with a `locality` policy. */
  readonly at?: EndpointPlace;
  /** Name of the Deployment or whatever runs it, as far as the name of its Pod tells. */
  readonly workload?: string;
  /** Its part of the traffic in relation to the others; 1 unless given. */
  readonly weight?: number;
  /** It is reached through a tunnel (HBONE), whose other end has to show one of these SPIFFE identities. Absent: directly. */
  readonly tunnel?: readonly string[];
  /** Whom it is close to. Only with `prefers`. */
  readonly near?: { readonly zones: readonly string[]; readonly nodes: readonly string[] };
}

/** The endpoints of a cluster, sorted so that equal sets are equal. */
export interface Endpoints {
  readonly cluster: string;
  readonly endpoints: readonly Endpoint[];
  /** Proxies use endpoints close to them as long as there are any (Service.spec.trafficDistribution). `node` includes `zone`. */
  readonly prefers?: 'zone' | 'node';
  /** Which of them the proxies of a place use, instead of what the Service prefers. */
  readonly locality?: PlacedPolicy;
}

/** Where a proxy runs. */
export interface Place extends Locality {
  readonly node?: string;
}

/** The certificate that the proxies of a Gateway show to backends that speak TLS. */
export interface ClientCertificate {
  /** The proxies: `namespace/name` of their Gateway. */
  readonly scope: string;
  /** Name of its SDS secret. */
  readonly secret: string;
}
