import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

/** Who may import whom. The table of docs/ARCHITECTURE.md; `kube/types` is the one part of kube that pure folders may see. */
const mayImport: Record<string, readonly string[]> = {
  krt: [],
  ir: [],
  kube: ['krt'],
  xds: ['krt', 'ir'],
  policy: ['krt', 'ir', 'kube/types'],
  gateway: ['krt', 'ir', 'kube/types', 'policy'],
  istio: ['krt', 'ir', 'kube/types'],
  waypoint: ['krt', 'ir', 'kube/types', 'gateway', 'istio', 'policy'],
  deploy: ['krt', 'ir', 'kube'],
  ai: ['krt', 'ir', 'policy'],
  cmd: ['krt', 'ir', 'kube', 'xds', 'policy', 'gateway', 'istio', 'waypoint', 'deploy', 'ai'],
};

const src = import.meta.dirname;

function sourceFiles(): string[] {
  return readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts') && f.includes('/'));
}

/** Relative imports of a file, as paths below src/. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((m) => relative(src, resolve(src, dirname(file), m[1] ?? '')));
}

test('every import follows the table', () => {
  const violations: string[] = [];
  for (const file of sourceFiles()) {
    if (file.endsWith('.test.ts') || file.endsWith('.bench.ts')) continue;
    const folder = file.split('/')[0] ?? '';
    const allowed = mayImport[folder];
    if (!allowed) violations.push(`${file}: folder ${folder} is not in the table`);
    for (const target of importsOf(file)) {
      const targetFolder = target.split('/')[0] ?? '';
      if (targetFolder === folder) continue;
      const ok = allowed?.some((a) => target === a || target.startsWith(`${a}/`) || target.startsWith(`${a}.`));
      if (!ok) violations.push(`${file} imports ${target}`);
    }
  }
  expect(violations).toEqual([]);
});

test('folders form no cycle', () => {
  const visiting = new Set<string>();
  const visit = (folder: string): void => {
    if (visiting.has(folder)) throw new Error(`cycle through ${[...visiting].join(' -> ')} -> ${folder}`);
    visiting.add(folder);
    for (const next of mayImport[folder] ?? []) visit(next.split('/')[0] ?? '');
    visiting.delete(folder);
  };
  for (const folder of Object.keys(mayImport)) visit(folder);
});
