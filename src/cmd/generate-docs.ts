// Writes the pages of the documentation that are tables in the code.
//   node src/cmd/generate-docs.ts           rewrite
//   node src/cmd/generate-docs.ts --check   fail when a committed page is not what would be written
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { transformationDocument } from '../policy/transformation/document.ts';
import { metricsDocument } from './metrics.ts';
import { settingsDocument } from './settings.ts';

const root = join(import.meta.dirname, '../..');
const pages = {
  'docs/settings.md': settingsDocument(),
  'docs/metrics.md': metricsDocument(),
  'docs/transformation.md': transformationDocument(),
};

const written: string[] = [];
for (const [page, text] of Object.entries(pages)) {
  const file = join(root, page);
  // As `make format` would leave it.
  const wanted = await format(text, { ...(await resolveConfig(file)), parser: 'markdown' });
  if (existsSync(file) && readFileSync(file, 'utf8') === wanted) continue;
  written.push(relative(root, file));
  if (!process.argv.includes('--check')) writeFileSync(file, wanted);
}

if (process.argv.includes('--check') && written.length > 0) {
  process.stderr.write(`${written.join(', ')}: not what the code says. Run node src/cmd/generate-docs.ts and commit the result.\n`);
  process.exitCode = 1;
}
