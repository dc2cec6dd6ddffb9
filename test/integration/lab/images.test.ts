// `lab image` beside a lab that was cut off: the file of containerd's socket is there, and nothing listens on it.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const home = mkdtempSync(join(tmpdir(), 'lab-home-'));
afterAll(() => rmSync(home, { recursive: true }));

test('an image is kept for the next lab when containerd was killed', () => {
  mkdirSync(join(home, 'run'));
  mkdirSync(join(home, 'rootfs'));
  writeFileSync(join(home, 'rootfs', 'program'), '');
  const socket = join(home, 'run', 'containerd.sock');
  execFileSync('python3', ['-c', 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])', socket]);

  execFileSync(resolve('test/lab/lab'), ['image', 'example.com/tried:1', join(home, 'rootfs'), '/program'], {
    env: { ...process.env, LAB_HOME: home },
    stdio: 'pipe',
  });

  expect(existsSync(socket)).toBe(true);
  expect(existsSync(join(home, 'images', 'example.com_tried_1.tar'))).toBe(true);
});
