/**
 * The names of Istio's metrics, as they are: [bootstrap extension] -> Envoy shows what is in the name space `wasmcustom` without its own prefix.
 *
 * Envoy puts `envoy_` before every metric but those of name spaces that a Wasm program registers. So the smallest program that loads is in the
 * bootstrap: it has no code that ever runs. Why that, with numbers: docs/decisions/0008-istio-metrics.md.
 */
import { type EnvoyJson, extensions } from './static-resources.ts';

const text = (name: string): readonly number[] => [name.length, ...Buffer.from(name)];
const section = (id: number, content: readonly number[]): readonly number[] => [id, content.length, ...content];

const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** Exports memory, the version of the ABI, and an allocator that nobody calls. */
const program = Buffer.from([
  ...header,
  ...section(1, [2, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f]), // types: () -> (), (i32) -> i32
  ...section(3, [2, 0, 1]), // functions 0 and 1 of them
  ...section(5, [1, 0, 1]), // one page of memory
  ...section(7, [3, ...text('memory'), 2, 0, ...text('proxy_abi_version_0_2_0'), 0, 0, ...text('malloc'), 0, 1]),
  ...section(10, [2, 2, 0, 0x0b, 4, 0, 0x41, 0, 0x0b]), // nothing; 0
]);

/** The bootstrap extension: one virtual machine, on the main thread alone. */
export const istioMetricNames: EnvoyJson = {
  name: 'envoy.bootstrap.wasm',
  typed_config: {
    '@type': `${extensions}.wasm.v3.WasmService`,
    singleton: true,
    config: {
      name: 'istio-metric-names',
      vm_config: { runtime: 'envoy.wasm.runtime.v8', code: { local: { inline_bytes: program.toString('base64') } } },
    },
  },
};
