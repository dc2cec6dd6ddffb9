/** Kinds of earlier Gateway API versions, which manifests/gateway-api-legacy has the CRDs of. */
import type { ListenerSetSpec } from './gateway-api.ts';
import type { KubeObject } from './meta.ts';

/** gateway.networking.x-k8s.io/v1alpha1. ListenerSet before it became a part of the API. Port 0 of a listener asks for any. */
export interface XListenerSet extends KubeObject {
  readonly kind: 'XListenerSet';
  readonly spec: ListenerSetSpec;
}
