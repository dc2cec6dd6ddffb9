// Bundles src/cmd/main.ts with all that it imports into dist/: kgateway.mjs, what the controller image runs, and chunks of what is imported
// on demand (the Kubernetes client's 16 MB are needed outside of a cluster only).
//   node scripts/bundle.mjs [ENTRY [FOLDER]]
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { root, say, settings } from './settings.mjs';

const entry = resolve(process.argv[2] ?? join(root, 'src', 'cmd', 'main.ts'));
const out = resolve(process.argv[3] ?? join(root, 'dist'));

/** Large JSON as a string for JSON.parse, which V8 reads several times faster than the same data as an object literal. */
const jsonAsText = {
  name: 'json-as-text',
  setup(builder) {
    builder.onLoad({ filter: /\.json$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      if (text.length < 100_000) return undefined;
      return { contents: `export default JSON.parse(${JSON.stringify(JSON.stringify(JSON.parse(text)))});`, loader: 'js' };
    });
  },
};

rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: { kgateway: entry },
  outdir: out,
  outExtension: { '.js': '.mjs' },
  splitting: true,
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  keepNames: true,
  legalComments: 'linked',
  logLevel: 'warning',
  plugins: [jsonAsText],
  define: { 'process.env.KGATEWAY_VERSION': JSON.stringify(settings.KGATEWAY_VERSION) },
  // Packages in CommonJS call require() for node:* modules.
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
});
const main = join(out, 'kgateway.mjs');
say(`bundle: ${main}, ${(statSync(main).size / 1e6).toFixed(1)} MB`);
