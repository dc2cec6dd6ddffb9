// [istio.io/api] -> src/istio/proto: a verbatim copy of the .proto files that describe what Istio's users write, and of what they import.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { GoModule } from './descriptors.ts';

/** Folders of the module whose .proto files we take. */
const folders = ['analysis', 'extensions', 'mesh', 'meta', 'networking', 'security', 'telemetry', 'type'];
/** Imports that are not Istio's own, in the module's folder common-protos. The well-known types come with every protobuf runtime. */
const imported = ['google/api/field_behavior.proto'];
const wellKnown = /^google\/protobuf\//;
/** Tables of the annotations and labels that Istio reads; not protobuf, but the same contract. */
const tables = ['annotation/annotations.yaml', 'label/labels.yaml'];

/** Relative names of all files below a folder, none if it does not exist. */
function filesBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name).slice(folder.length + 1))
    .toSorted();
}

/**
 * The files to have below `target`, by absolute path, and the ones there that should not be (README.md is ours).
 * Throws when an import leads outside of what is copied.
 */
export function istioFiles(
  module: GoModule,
  target: string,
): { readonly files: ReadonlyMap<string, string>; readonly surplus: readonly string[] } {
  const read = (name: string): string => readFileSync(join(module.dir, name), 'utf8');
  const texts = new Map<string, string>();
  for (const folder of folders) {
    for (const name of filesBelow(join(module.dir, folder))) {
      if (name.endsWith('.proto')) texts.set(`${folder}/${name}`, read(`${folder}/${name}`));
    }
  }
  for (const name of imported) texts.set(name, read(`common-protos/${name}`));
  for (const [name, text] of texts) {
    for (const [, dependency = ''] of text.matchAll(/^import\s+(?:public\s+)?"([^"]+)"/gm)) {
      if (!texts.has(dependency) && !wellKnown.test(dependency))
        throw new Error(`${module.path}: ${name} imports ${dependency}, which is not vendored`);
    }
  }
  for (const name of tables) texts.set(name, read(name));
  texts.set('LICENSE', read('LICENSE'));
  texts.set('VERSION', `${module.path} ${module.version}\n`);
  const surplus = filesBelow(target).filter((name) => !texts.has(name) && name !== 'README.md');
  return {
    files: new Map([...texts].map(([name, text]) => [join(target, name), text])),
    surplus: surplus.map((name) => join(target, name)),
  };
}
