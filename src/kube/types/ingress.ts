// networking.k8s.io/v1, as far as we read it.
import type { KubeObject } from './meta.ts';

/** Cluster-scoped. Says which controller serves the Ingresses that name it. */
export interface IngressClass extends KubeObject {
  readonly spec: {
    readonly controller?: string;
    readonly parameters?: {
      readonly apiGroup?: string;
      readonly kind: string;
      readonly name: string;
      /** `Cluster` if absent. */
      readonly scope?: string;
      readonly namespace?: string;
    };
  };
}

export interface Ingress extends KubeObject {
  readonly spec: {
    readonly ingressClassName?: string;
    readonly defaultBackend?: IngressBackend;
    readonly tls?: readonly { readonly hosts?: readonly string[]; readonly secretName?: string }[];
    readonly rules?: readonly IngressRule[];
  };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] } };
}

export interface IngressRule {
  /** Absent: every host. `*.` at its start stands for one label. */
  readonly host?: string;
  readonly http?: { readonly paths: readonly IngressPath[] };
}

export interface IngressPath {
  readonly path?: string;
  readonly pathType: 'Exact' | 'Prefix' | 'ImplementationSpecific';
  readonly backend: IngressBackend;
}

/** One of the two. */
export interface IngressBackend {
  readonly service?: { readonly name: string; readonly port?: { readonly name?: string; readonly number?: number } };
  /** Of the namespace of the Ingress. */
  readonly resource?: { readonly apiGroup?: string; readonly kind: string; readonly name: string };
}
