// Gateway API Inference Extension, as far as we read it: its types say what a CRD of version 1.6 lets through.
import type { Condition, KubeObject } from './meta.ts';

/** inference.networking.k8s.io/v1. Pods with model servers, and who chooses among them for each request. */
export interface InferencePool extends KubeObject {
  readonly kind: 'InferencePool';
  readonly spec: InferencePoolSpec;
  readonly status?: { readonly parents?: readonly InferencePoolParentStatus[] };
}

export interface InferencePoolSpec {
  /** Pods of its namespace that have all these labels. */
  readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  /** Each is an endpoint of its own: 1 to 8 of them. */
  readonly targetPorts: readonly { readonly number: number }[];
  /** `http` if absent. */
  readonly appProtocol?: 'http' | 'kubernetes.io/h2c';
  readonly endpointPickerRef?: EndpointPickerRef;
}

/** The extension that picks an endpoint for each request, in the namespace of the pool. */
export interface EndpointPickerRef {
  readonly group?: string;
  readonly kind?: string;
  readonly name: string;
  /** Of the Service, which needs one. */
  readonly port?: { readonly number: number };
  /** What happens to a request when the picker does not answer; `FailClose` if absent. */
  readonly failureMode?: 'FailOpen' | 'FailClose';
}

export interface InferencePoolParentStatus {
  readonly parentRef: { readonly group?: string; readonly kind?: string; readonly name: string; readonly namespace?: string };
  readonly controllerName?: string;
  readonly conditions?: readonly Condition[];
}
