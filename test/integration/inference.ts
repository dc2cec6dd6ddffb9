/** Objects of the Gateway API Inference Extension for tests, in YAML, with model servers on loopback addresses of their own. */
import { objectOf, sliceOf } from './backend.ts';
import type { Picker } from './picker.ts';

/** Group and kind of a backendRef. */
export const poolRef = (name: string, more = ''): string =>
  `{ group: inference.networking.k8s.io, kind: InferencePool, name: ${name}${more} }`;

export interface PoolOptions {
  readonly ports: readonly number[];
  /** Service of the picker; null: none. */
  readonly picker: string | null;
  readonly failOpen?: boolean;
  readonly h2c?: boolean;
  /** Label `app` of its Pods; the name of the pool unless given. */
  readonly app?: string;
}

/** An InferencePool. */
export function poolOf(name: string, { ports, picker, failOpen = false, h2c = false, app = name }: PoolOptions): string {
  return `---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: { name: ${name} }
spec:
  selector: { matchLabels: { app: ${app} } }
  targetPorts: [${ports.map((p) => `{ number: ${p} }`).join(', ')}]
${h2c ? '  appProtocol: kubernetes.io/h2c\n' : ''}${
    picker === null
      ? ''
      : `  endpointPickerRef: { name: ${picker}, port: { number: 9002 }, failureMode: ${failOpen ? 'FailOpen' : 'FailClose'} }\n`
  }`;
}

/** A Pod of a pool. */
export function podOf(app: string, name: string, address: string, ready = true): string {
  return `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${app} } }
spec: { containers: [{ name: server }] }
status: { podIP: ${address}, podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: '${ready ? 'True' : 'False'}' }] }
`;
}

/** The Service of a picker. */
export function pickerService(name: string, { port }: Pick<Picker, 'port'>, appProtocol?: string): string {
  const protocol = appProtocol === undefined ? '' : `, appProtocol: ${appProtocol}`;
  return objectOf('v1', 'Service', name, `ports: [{ name: grpc, port: 9002${protocol} }]`) + sliceOf(name, `{ name: grpc, port: ${port} }`);
}
