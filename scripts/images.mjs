// Builds the images of scripts/images.env without Docker, through test/lab: one folder laid out as / each, as in images/*/Dockerfile.
//   node scripts/images.mjs [controller] [envoy]
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fail, root, run, say, settings } from './settings.mjs';

/** The user of both images; charts and Gateway Pods set runAsUser to it too. */
const uid = 10101;

const caBundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

function put(from, folder, path, mode = 0o644) {
  const to = join(folder, path);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(realpathSync(from), to);
  chmodSync(to, mode);
}

function write(folder, path, text) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** The shared libraries of a program, where it looks for them, and the C library's name resolution, which is loaded when it is used. */
function libraries(program) {
  const found = run('ldd', [program], { capture: true }).stdout.match(/\/\S+\.so\S*/g) ?? [];
  const libc = found.find((path) => basename(path) === 'libc.so.6');
  if (!libc) return found;
  return [
    ...found,
    ...['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2']
      .map((name) => join(dirname(libc), name))
      .filter((path) => existsSync(path)),
  ];
}

/** What every image has: a user, /tmp, the CA bundle, the way names are resolved; then the program and its libraries. */
function layout(folder, user, program, path) {
  write(folder, 'etc/passwd', `root:x:0:0:root:/:/sbin/nologin\n${user}:x:${uid}:${uid}:${user}:/:/sbin/nologin\n`);
  write(folder, 'etc/group', `root:x:0:\n${user}:x:${uid}:\n`);
  write(folder, 'etc/nsswitch.conf', 'hosts: files dns\n');
  mkdirSync(join(folder, 'tmp'));
  chmodSync(join(folder, 'tmp'), 0o1777);
  const bundle = caBundles.find((file) => existsSync(file));
  if (!bundle) fail('this machine has no CA bundle to put into the images', 'apt-get install ca-certificates');
  put(bundle, folder, 'etc/ssl/certs/ca-certificates.crt');
  put(program, folder, path, 0o755);
  for (const library of libraries(program)) put(library, folder, library, 0o755);
}

const images = {
  controller: {
    tag: `${settings.IMAGE_REGISTRY}/kgateway:${settings.KGATEWAY_VERSION}`,
    // Measured: what a change leaves behind dies in a young generation of this size, and full collections when idle, or by more threads, cost more CPU than they save.
    entrypoint: ['/usr/local/bin/node', '--max-semi-space-size=16', '--no-parallel-scavenge', '--no-memory-reducer', '/app/kgateway.mjs'],
    fill(folder) {
      if (!run(process.execPath, [join(root, 'scripts', 'bundle.mjs')]).ok)
        fail('the controller could not be bundled', 'see the lines above; make check finds most causes');
      layout(folder, 'kgateway', process.execPath, 'usr/local/bin/node');
      cpSync(join(root, 'dist'), join(folder, 'app'), { recursive: true });
      put(join(root, 'LICENSE'), folder, 'app/LICENSE');
    },
  },
  envoy: {
    tag: `${settings.IMAGE_REGISTRY}/envoy:${settings.ENVOY_VERSION}`,
    entrypoint: ['/usr/local/bin/envoy'],
    fill(folder) {
      const envoy = run(process.execPath, [join(root, 'scripts', 'envoy.mjs')], { capture: true });
      if (!envoy.ok) {
        say(envoy.stderr.trim());
        process.exit(1);
      }
      layout(folder, 'envoy', envoy.stdout.trim(), 'usr/local/bin/envoy');
    },
  },
};

const chosen = process.argv.slice(2);
for (const name of chosen.length > 0 ? chosen : Object.keys(images)) {
  const image = images[name];
  if (!image) fail(`there is no image ${name}`, `choose from ${Object.keys(images).join(', ')}`);
  const folder = mkdtempSync(join(tmpdir(), `image-${name}-`));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  image.fill(folder);
  const made = run(join(root, 'test', 'lab', 'lab'), ['image', image.tag, folder, ...image.entrypoint], {
    env: { IMAGE_USER: `${uid}:${uid}` },
  });
  if (!made.ok) fail(`image ${name} failed`, 'see the lines above');
}
