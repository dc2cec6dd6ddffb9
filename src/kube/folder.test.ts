import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Graph, source } from '../krt/index.ts';
import type { Source } from '../krt/index.ts';
import type { Folder, FolderOptions } from './folder.ts';
import { describeProblem, watchFolder } from './folder.ts';
import { sameSpec } from './reflector.ts';
import { until } from './testing/until.ts';
import type { KubeObject } from './types/meta.ts';
import { keyOf } from './types/meta.ts';
import { parseDocument, splitDocuments } from './yaml-documents.ts';

const cleanup: (() => PromiseLike<void>)[] = [];
afterEach(async () => {
  for (const f of cleanup.splice(0).reverse()) await f();
});
let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'folder-'));
  cleanup.push(() => rm(dir, { recursive: true, force: true }));
});

const write = (file: string, text: string): Promise<void> => writeFile(join(dir, file), text);
const service = (name: string, port = 80, extra = ''): string =>
  `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\n${extra}spec:\n  ports:\n  - port: ${port}\n`;

interface Rig {
  readonly folder: Folder;
  readonly services: Source<KubeObject>;
  readonly messages: string[];
  readonly events: string[];
  names(): string[];
}

async function load(o: FolderOptions = {}): Promise<Rig> {
  const graph = new Graph({ assertions: true });
  const services = source<KubeObject>(graph, { name: 'services', key: keyOf, equals: sameSpec });
  const messages: string[] = [];
  const events: string[] = [];
  services.subscribe((all) => events.push(...all.map((e) => `${e.type} ${e.key}`)));
  const known = ['Service', 'Secret', 'GatewayClass'];
  const folder = await watchFolder(
    dir,
    (x) => (known.includes(x.kind) ? services : undefined),
    (p) => messages.push(describeProblem(p)),
    o,
  );
  services.markSynced();
  await graph.whenSynced();
  cleanup.push(() => folder.stop());
  return { folder, services, messages, events, names: () => services.list().map(keyOf).sort() };
}

test('loads documents, lists and subfolders, and fills in what an API server would', async () => {
  await mkdir(join(dir, 'sub'));
  await write('a.yaml', `# first\n---\n${service('a')}---\n${service('b', 80, '  namespace: other\n')}`);
  await write('sub/l.yml', `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: l}}\n`);
  await write('sub/class.yaml', 'apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c, namespace: x}\n');
  await write('s.yaml', 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n');
  await write('notes.txt', 'not: yaml: at all');
  const r = await load();
  expect(r.names()).toEqual(['c', 'default/a', 'default/l', 'default/s', 'other/b']);
  expect(r.messages).toEqual([]);
  const { metadata } = r.services.get('default/a') ?? { metadata: undefined };
  expect(metadata).toMatchObject({ generation: 1, namespace: 'default', uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown });
  expect(metadata?.creationTimestamp).toMatch(/^\d{4}-.*Z$/);
  expect(r.services.get('default/s')).toMatchObject({ data: { a: 'Yg==' } });
});

test('follows changes: generation moves with the spec, identity and birth stay', async () => {
  await write('a.yaml', service('a'));
  const r = await load();
  const first = r.services.get('default/a')?.metadata;
  await write('a.yaml', service('a', 81));
  await until(() => r.services.get('default/a')?.metadata.generation === 2, 'generation 2');
  expect(r.services.get('default/a')?.metadata).toMatchObject({ uid: first?.uid, creationTimestamp: first?.creationTimestamp });
  await write('a.yaml', service('a', 81, '  labels: {x: y}\n'));
  await until(() => r.services.get('default/a')?.metadata.labels, 'the label');
  expect(r.services.get('default/a')?.metadata.generation).toBe(2);
  await write('b.yaml', service('b'));
  await until(() => r.services.size === 2, 'a new file');
  await unlink(join(dir, 'a.yaml'));
  await until(() => r.names().join() === 'default/b', 'a removed file');
  await mkdir(join(dir, 'new'));
  await write('new/c.yaml', service('c'));
  await until(() => r.services.size === 2, 'a file in a new folder');
});

test('an editor that renames over, or truncates first, deletes nothing', async () => {
  await write('a.yaml', service('a'));
  const r = await load();
  await rename(join(dir, 'a.yaml'), join(dir, 'a.yaml~'));
  await r.folder.rescan();
  expect(r.names()).toEqual(['default/a']);
  await write('.a.tmp', service('a', 81));
  await rename(join(dir, '.a.tmp'), join(dir, 'a.yaml'));
  await until(() => r.services.get('default/a')?.metadata.generation === 2, 'the new version');
  await write('a.yaml', '');
  await r.folder.rescan();
  expect(r.names()).toEqual(['default/a']);
  await write('a.yaml', service('a', 82));
  await until(() => r.services.get('default/a')?.metadata.generation === 3, 'the next version');
  expect(r.events).toEqual(['add default/a', 'update default/a', 'update default/a']);
});

test('a mounted ConfigMap: files are links into a hidden folder that is swapped', async () => {
  await mkdir(join(dir, '..v1'));
  await mkdir(join(dir, '..v2'));
  await write('..v1/a.yaml', service('a'));
  await write('..v2/a.yaml', service('a', 8080));
  await symlink('..v1', join(dir, '..data'));
  await symlink('..data/a.yaml', join(dir, 'a.yaml'));
  const r = await load();
  expect(r.names()).toEqual(['default/a']);
  await symlink('..v2', join(dir, '..data_tmp'));
  await rename(join(dir, '..data_tmp'), join(dir, '..data'));
  await until(() => r.services.get('default/a')?.metadata.generation === 2, 'the new version');
});

test('a malformed document is named with its line; the others and its last good version stay', async () => {
  await write('a.yaml', `${service('a')}---\n${service('b')}---\n${service('c')}`);
  const r = await load();
  await write('a.yaml', `${service('a', 81)}---\napiVersion: v1\nkind: Service\nmetadata:\n  name: b\n spec: [\n---\n${service('d')}`);
  await until(() => r.folder.problems.length === 1, 'the problem');
  expect(r.names()).toEqual(['default/a', 'default/b', 'default/d']);
  expect(r.services.get('default/a')?.metadata.generation).toBe(2);
  expect(r.messages[0]).toMatch(/^a\.yaml:1\d: document 2: is no YAML \(Service b\): .*; fix this line/);
  await write('a.yaml', service('b', 82));
  await until(() => r.folder.problems.length === 0, 'it is mended');
  expect(r.names()).toEqual(['default/b']);
  expect(r.services.get('default/b')?.metadata.generation).toBe(2);
});

test('what an API server would refuse is reported and its last good version stays', async () => {
  await write('a.yaml', service('a'));
  const validate = (x: KubeObject): string[] => (JSON.stringify(x).includes('81') ? ['spec.ports[0].port: must be even'] : []);
  const r = await load({ validate });
  await write('a.yaml', service('a', 81));
  await until(() => r.messages.length === 1, 'the problem');
  expect(r.messages).toEqual(['a.yaml:1: document 1: Service default/a: spec.ports[0].port: must be even']);
  expect(r.services.get('default/a')?.metadata.generation).toBe(1);
});

test('duplicates, unknown kinds, missing names and untidy metadata', async () => {
  await write('a.yaml', `${service('a')}---\n${service('a', 81)}`);
  await write('b.yaml', 'apiVersion: gateway.networking.k8s.io/v1\nkind: HTPRoute\nmetadata: {name: r}\n');
  await write('c.yaml', 'apiVersion: v1\nkind: Service\nmetadata: {}\n---\n- 1\n---\nkind: Service\n');
  await write('d.yaml', 'apiVersion: v1\nkind: Service\nmetadata: {name: d, labels: {a: 1}}\n');
  await write('e.yaml', 'apiVersion: networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: e}\n');
  await write('f.yaml', 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: f}\n');
  await write('g.yaml', 'apiVersion: gateway.kgateway.dev/v1alpha1\nkind: GatewayExtension\nmetadata: {name: g}\n');
  const r = await load();
  expect(r.messages).toEqual([
    'a.yaml:9: document 2: Service default/a is already in a.yaml:1, which counts: remove one of them',
    'b.yaml:1: document 1: kind HTPRoute (gateway.networking.k8s.io/v1) is unknown: did you mean HTTPRoute?',
    'c.yaml:1: document 1: Service has no metadata.name: give it one',
    'c.yaml:5: document 2: is not an object: expected apiVersion, kind and metadata',
    'c.yaml:7: document 3: apiVersion is missing: every object needs apiVersion, kind and metadata.name',
    'd.yaml:1: document 1: metadata.labels.a is not a string: put 1 in quotes',
    'e.yaml:1: document 1: Gateway of group "networking.k8s.io" is unknown: did you mean apiVersion gateway.networking.k8s.io/v1?',
    'f.yaml:1: document 1: Deployment default/f is of a kind that this version does not serve and has no effect: remove it',
    'g.yaml:1: document 1: GatewayExtension default/g is of a kind that this version does not serve and has no effect: remove it',
  ]);
  expect(r.names()).toEqual(['default/a']);
});

test('a folder that does not exist is an error', async () => {
  await expect(
    watchFolder(
      join(dir, 'none'),
      () => undefined,
      () => undefined,
    ),
  ).rejects.toThrow(/ENOENT/);
});

test('20,000 lines: loaded at once, one change costs one object', async () => {
  const text = Array.from({ length: 2500 }, (_, i) => service(`s${i}`)).join('---\n');
  expect(text.split('\n').length).toBeGreaterThanOrEqual(20_000);
  await write('big.yaml', text);
  const started = performance.now();
  const r = await load();
  expect(performance.now() - started).toBeLessThan(2000);
  await write('big.yaml', text.replace('name: s7\n', 'name: s7\n  labels: {a: b}\n'));
  await until(() => r.services.get('default/s7')?.metadata.labels, 'the change');
  expect(r.events.length).toBe(2501);
});

test('documents are cut at separators only and counted without the empty ones', () => {
  const text = '%YAML 1.2\n---\n# nothing\n---\na: |\n  x\n  ---\n  y\n--- # comment\n\nb: 1\n---\n';
  expect(splitDocuments(text).map((d) => [d.number, d.line])).toEqual([
    [1, 5],
    [2, 11],
  ]);
  expect(splitDocuments('').length).toBe(0);
  expect(parseDocument('a: [')).toMatchObject({ syntax: expect.any(String) as unknown });
});
