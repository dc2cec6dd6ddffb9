import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { goldenCases, goldenFolder, goldenText, readGolden, renderTranslation, translateYaml } from './golden.ts';

const update = process.env['UPDATE_GOLDEN'] === '1';

test.each(goldenCases())('golden %s', (file) => {
  const { input, output } = readGolden(file);
  const rendered = renderTranslation(translateYaml(input), file.includes('whole'));
  if (update) writeFileSync(join(goldenFolder, file), goldenText(input, rendered));
  else expect(rendered, 'run `make golden` and read the diff').toBe(output);
});
