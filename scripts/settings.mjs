// What the scripts share: folders, scripts/images.env, child processes, and one way to end with an error and its next step.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '..');

/** Reports of test runs; not in git. */
export const reports = join(root, '.cache', 'reports');

/** What clones of this project on one machine share, as the Envoy binary. */
export const sharedCache = join(homedir(), '.cache', 'kgateway-ts');

/** The variables of scripts/images.env; the environment's win. */
export const settings = Object.fromEntries(
  readFileSync(join(root, 'scripts', 'images.env'), 'utf8')
    .split('\n')
    .map((line) => line.match(/^(\w+)=(.*)$/))
    .filter((match) => match !== null)
    .map(([, name, value]) => [name, process.env[name] ?? value]),
);

/** Progress goes to stderr: stdout is for results. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Ends the program with what went wrong and what to do next. */
export function fail(what, next) {
  say(`error: ${what}`);
  say(`next: ${next}`);
  process.exit(1);
}

/** Runs a program to its end. Its output is shown unless `capture`, which returns it. */
export function run(command, args, { capture = false, env = {}, cwd = root } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', capture ? 'pipe' : 2, capture ? 'pipe' : 2],
  });
  const status = result.status ?? 1;
  return { ok: status === 0, status, stdout: result.stdout ?? '', stderr: result.stderr ?? '', missing: result.error?.code === 'ENOENT' };
}
