// Writes the CustomResourceDefinitions of our kinds into the chart that installs them.
//   node src/cmd/generate-crds.ts           rewrite
//   node src/cmd/generate-crds.ts --check   fail when a committed file is not what would be written
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gatewayParametersCrd } from '../deploy/gatewayparameters.ts';
import { crdFileName, crdYaml } from '../kube/crd.ts';
import type { CustomResource } from '../kube/types/custom-resource.ts';
import { backendCrd } from '../policy/backend/schema.ts';
import { directResponseCrd } from '../policy/directresponse/schema.ts';
import { trafficPolicyCrd } from '../policy/trafficpolicy/schema.ts';

/** Every kind of ours. */
const kinds: readonly CustomResource[] = [backendCrd, directResponseCrd, gatewayParametersCrd, trafficPolicyCrd];

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'charts/kgateway-crds/templates');

/** File name to content. */
function definitions(): ReadonlyMap<string, string> {
  return new Map(kinds.map((kind) => [crdFileName(kind), crdYaml(kind)]));
}

function onDisk(file: string): string | undefined {
  try {
    return readFileSync(join(folder, file), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Files of ours that no kind has any more. */
function leftovers(wanted: ReadonlyMap<string, string>): readonly string[] {
  const groups = new Set(kinds.map((kind) => `${kind.group}_`));
  return readdirSync(folder).filter((file) => [...groups].some((prefix) => file.startsWith(prefix)) && !wanted.has(file));
}

const wanted = definitions();
mkdirSync(folder, { recursive: true });
const stale = [...wanted].filter(([file, yaml]) => onDisk(file) !== yaml).map(([file]) => file);
const gone = leftovers(wanted);

if (process.argv.includes('--check')) {
  for (const file of [...stale, ...gone]) process.stderr.write(`${relative(root, join(folder, file))} is not what its schema says\n`);
  if (stale.length + gone.length > 0) {
    process.stderr.write('Run node src/cmd/generate-crds.ts and commit the result.\n');
    process.exitCode = 1;
  }
} else {
  for (const file of stale) writeFileSync(join(folder, file), wanted.get(file) ?? '');
  for (const file of gone) rmSync(join(folder, file));
  process.stdout.write(`${kinds.length} definitions, ${stale.length} written, ${gone.length} removed\n`);
}
