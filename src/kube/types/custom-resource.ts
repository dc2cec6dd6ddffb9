// A custom resource kind of ours, as data: one typebox schema gives its CustomResourceDefinition and, by Static<>, its type.
//   [schema.ts of a kind] -> CustomResource -> kube/crd.ts -> charts/kgateway-crds/templates

/** A column of `kubectl get`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  readonly priority?: number;
}

/** One served and stored version of a kind; always namespaced. `spec` and `status` are JSON schemas as typebox makes them. */
export interface CustomResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly description: string;
  readonly shortNames?: readonly string[];
  readonly categories: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly printerColumns: readonly PrinterColumn[];
  readonly spec: object;
  /** With it the status subresource is on: only the controller writes it. */
  readonly status: object;
  /** False: an object without `spec` is valid. Default true. */
  readonly specRequired?: boolean;
}
