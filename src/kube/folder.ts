// [folder of YAML files] -> [Source<T>], live: the same objects as from an API server, without one. What an API server would refuse is reported and
// the last good version of that object stays; what it would fill in (namespace, uid, generation, times, defaults) is filled in here.
import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Source } from '../krt/index.ts';
import { nearest } from './nearest.ts';
import { resourceOf, resources } from './resources.ts';
import type { Secret } from './types/core.ts';
import type { KubeObject } from './types/meta.ts';
import { groupOf, keyOf } from './types/meta.ts';
import type { Guess } from './yaml-documents.ts';
import { parseDocument, splitDocuments } from './yaml-documents.ts';

/** Something in the folder that does not work. An error's object is not loaded, or stays at its last good version. */
export interface FolderProblem {
  readonly severity: 'error' | 'warning';
  /** Relative to the folder. */
  readonly file: string;
  /** 1-based number of the document in the file; 0 for the whole file. */
  readonly document: number;
  /** 1-based. */
  readonly line: number;
  /** Ends with what to do. */
  readonly message: string;
}

/** `file:line: document n: message`. */
export function describeProblem(p: FolderProblem): string {
  return `${p.file}:${p.line}: ${p.document > 0 ? `document ${p.document}: ` : ''}${p.message}`;
}

export interface FolderOptions {
  /** Checks an object against its schema and fills in defaults, in place (`crdValidator`). */
  readonly validate?: (object: KubeObject) => readonly string[];
  /** Milliseconds between looks at the file times, for file systems without notifications. Default 2000. */
  readonly poll?: number;
}

export interface Folder {
  /** What does not work now. */
  readonly problems: readonly FolderProblem[];
  /** Number of objects loaded. */
  readonly size: number;
  /** Looks at the folder now; resolves when changes are in the sources. */
  rescan(): Promise<void>;
  stop(): Promise<void>;
}

// The sources of all kinds are written through one interface; `route` picks the one that fits.
type AnySource = Pick<Source<KubeObject>, 'delete' | 'set'>;

interface Loaded {
  readonly source: AnySource;
  readonly object: KubeObject;
  /** As written, to see what changed. */
  readonly input: KubeObject;
}

interface ReadDocument {
  readonly number: number;
  readonly line: number;
  readonly text: string;
  readonly objects: readonly KubeObject[];
  readonly problems: readonly FolderProblem[];
  /** Set when the text is no YAML. */
  readonly broken: { readonly guess: Guess | undefined } | undefined;
  /** Objects that failed validation: their last good version stays. */
  readonly refused: readonly string[];
}

interface ReadFile {
  readonly stamp: string;
  readonly documents: readonly ReadDocument[];
  readonly problem?: FolderProblem;
}

/** Milliseconds to wait after a notification: an editor's save is several. */
const quiet = 30;
/** Milliseconds that a file must stay away or empty before its objects go: editors truncate, or rename over. */
const grace = 150;

/**
 * Loads all `*.yaml` and `*.yml` of a folder, then follows changes. `route` gives the source of an object, or undefined for one that is not read.
 * `onProblem` is called once for each problem when it appears. Resolves after the first load; the caller marks the sources as synced.
 * @throws when the folder cannot be read.
 */
export async function watchFolder(
  folder: string,
  route: (object: KubeObject) => AnySource | undefined,
  onProblem: (p: FolderProblem) => void,
  o: FolderOptions = {},
): Promise<Folder> {
  let files = new Map<string, ReadFile>();
  let loaded = new Map<string, Loaded>();
  const missingSince = new Map<string, number>();
  const createdAt = new Map<string, string>();
  let version = 0;
  let problems: readonly FolderProblem[] = [];

  const readOne = async (file: string, stamp: string): Promise<ReadFile> => {
    const text = await readFile(join(folder, file), 'utf8');
    // An unchanged document keeps its parsed objects: a change in a file of thousands costs that change.
    const before = new Map(files.get(file)?.documents.map((d) => [d.text, d]));
    const documents = splitDocuments(text).map((d) => {
      const known = before.get(d.text);
      if (known?.line === d.line && known.number === d.number) return known;
      return readDocument(file, d, o.validate);
    });
    return { stamp, documents };
  };

  const scan = async (): Promise<boolean> => {
    const names = await yamlFiles(folder);
    const next = new Map<string, ReadFile>();
    let again = false;
    for (const [file, stamp] of names) {
      const old = files.get(file);
      if (old?.stamp === stamp) {
        next.set(file, old);
        missingSince.delete(file);
        continue;
      }
      try {
        const read = await readOne(file, stamp);
        if (old && old.documents.length > 0 && read.documents.length === 0 && !expired(file)) {
          next.set(file, old);
          again = true;
          continue;
        }
        missingSince.delete(file);
        next.set(file, read);
      } catch (error) {
        const message = `cannot be read: ${String(error)}; check its permissions`;
        next.set(file, { stamp: '', documents: old?.documents ?? [], problem: { severity: 'error', file, document: 0, line: 1, message } });
      }
    }
    for (const [file, old] of files) {
      if (names.has(file) || old.documents.length === 0 || expired(file)) continue;
      next.set(file, old);
      again = true;
    }
    files = next;
    return again;
  };
  /** Whether a file has been gone for the time of grace. */
  const expired = (file: string): boolean => {
    const since = missingSince.get(file);
    if (since === undefined) missingSince.set(file, performance.now());
    else if (performance.now() - since >= grace) {
      missingSince.delete(file);
      return true;
    }
    return false;
  };

  /** Makes the sources hold what the files say. Synchronous: a graph sees one change. */
  const load = (): void => {
    const next = new Map<string, Loaded>();
    const places = new Map<string, string>();
    const found: FolderProblem[] = [];
    const keep: string[] = [];
    const now = `${new Date().toISOString().slice(0, 19)}Z`;
    for (const [file, read] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (read.problem) found.push(read.problem);
      for (const d of read.documents) {
        found.push(...d.problems);
        keep.push(...d.refused);
        if (d.broken?.guess) keep.push(...identitiesOf(d.broken.guess, loaded.keys()));
        for (const input of d.objects) {
          const id = identityOf(input);
          const elsewhere = places.get(id);
          const problem = (severity: FolderProblem['severity'], message: string): void =>
            void found.push({ severity, file, document: d.number, line: d.line, message });
          if (elsewhere !== undefined) {
            problem('error', `${nameOf(input)} is already in ${elsewhere}, which counts: remove one of them`);
            continue;
          }
          const source = route(input);
          if (!source) {
            problem('warning', unknownKind(input));
            continue;
          }
          places.set(id, `${file}:${d.line}`);
          const old = loaded.get(id);
          next.set(id, old?.input === input && old.source === source ? old : { source, input, object: complete(id, input, old, now) });
        }
      }
    }
    for (const id of keep) {
      const old = loaded.get(id);
      if (old && !next.has(id)) next.set(id, old);
    }
    const before = loaded;
    loaded = next;
    for (const [id, { source, object }] of before) if (next.get(id)?.source !== source) source.delete(keyOf(object));
    for (const [id, { source, object }] of next) if (before.get(id)?.object !== object) source.set(object);
    const known = new Set(problems.map(describeProblem));
    problems = found;
    for (const p of found) if (!known.has(describeProblem(p))) onProblem(p);
  };

  /** What the API server would add. */
  const complete = (id: string, input: KubeObject, old: Loaded | undefined, now: string): KubeObject => {
    if (old && isDeepStrictEqual(old.input, input)) return old.object;
    const { metadata, ...rest } = input;
    const created = metadata.creationTimestamp ?? createdAt.get(id) ?? now;
    createdAt.set(id, created);
    const changed = old ? !isDeepStrictEqual(content(old.input), content(input)) : false;
    const object: KubeObject = {
      ...rest,
      metadata: {
        ...metadata,
        uid: metadata.uid ?? uidOf(id),
        resourceVersion: String(++version),
        generation: (old?.object.metadata.generation ?? 1) + (changed ? 1 : 0),
        creationTimestamp: created,
      },
    };
    return object.kind === 'Secret' && object.apiVersion === 'v1' ? encodeStringData(object) : object;
  };

  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const once = async (): Promise<void> => {
    const again = await scan();
    if (stopped) return;
    load();
    if (again) soon(grace);
  };
  // One scan at a time; who asks during one gets the next.
  let working: Promise<void> = Promise.resolve();
  const rescan = (): Promise<void> => {
    working = working.catch(() => undefined).then(once);
    return working;
  };
  const soon = (ms: number): void => {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(() => void rescan().catch(unreadable), ms);
  };
  const unreadable = (error: unknown): void => {
    const message = `cannot be read: ${String(error)}; the last objects stay until it can`;
    const p: FolderProblem = { severity: 'error', file: '.', document: 0, line: 1, message };
    if (!problems.some((q) => q.message === message)) onProblem(p);
    problems = [...problems.filter((q) => q.file !== '.'), p];
  };

  await rescan();
  let watcher: ReturnType<typeof watch> | undefined;
  try {
    watcher = watch(folder, { recursive: true, persistent: false }, () => soon(quiet));
    watcher.on('error', () => watcher?.close());
  } catch {
    // No notifications here (too many watches, a network file system): the poll finds it.
  }
  const poll = setInterval(() => void rescan().catch(unreadable), o.poll ?? 2000).unref();

  return {
    get problems() {
      return problems;
    },
    get size() {
      return loaded.size;
    },
    rescan,
    async stop() {
      stopped = true;
      clearInterval(poll);
      clearTimeout(timer);
      watcher?.close();
      await working.catch(() => undefined);
    },
  };
}

function readDocument(file: string, d: { number: number; line: number; text: string }, validate: FolderOptions['validate']): ReadDocument {
  const problem = (message: string, line = 0): FolderProblem => ({
    severity: 'error',
    file,
    document: d.number,
    line: d.line + line,
    message,
  });
  const parsed = parseDocument(d.text);
  if ('syntax' in parsed) {
    const about = parsed.guess ? ` (${parsed.guess.kind} ${parsed.guess.name})` : '';
    const message = `is no YAML${about}: ${parsed.syntax}; fix this line, the other documents and the last good version of this one are in use`;
    return { ...d, objects: [], refused: [], problems: [problem(message, parsed.line)], broken: { guess: parsed.guess } };
  }
  const problems = parsed.problems.map((message) => problem(message));
  const refused: string[] = [];
  const objects: KubeObject[] = [];
  for (const raw of parsed.objects) {
    const object = place(raw);
    const complaints = validate?.(object) ?? [];
    problems.push(...complaints.map((c) => problem(`${nameOf(object)}: ${c}`)));
    if (complaints.length > 0) refused.push(identityOf(object));
    else objects.push(object);
  }
  return { ...d, objects, refused, problems, broken: undefined };
}

/** Puts an object in its namespace: `default` when it names none, none for a kind of the cluster. */
function place(o: KubeObject): KubeObject {
  const { namespace, ...metadata } = o.metadata;
  if (resourceOf(groupOf(o.apiVersion), o.kind)?.namespaced === false) return { ...o, metadata };
  return { ...o, metadata: { ...metadata, namespace: namespace ?? 'default' } };
}

/** Paths below the folder, with a stamp that changes with the content. Hidden folders are not entered: a mounted ConfigMap keeps its versions there. */
async function yamlFiles(folder: string, below = ''): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      for (const [file, stamp] of await yamlFiles(folder, path).catch(() => new Map<string, string>())) found.set(file, stamp);
    } else if (/\.ya?ml$/.test(entry.name)) {
      // A file may go between the two looks.
      const s = await stat(join(folder, path), { bigint: true }).catch(() => undefined);
      if (s?.isFile()) found.set(path, `${s.ino}:${s.size}:${s.mtimeNs}:${s.ctimeNs}`);
    }
  }
  return found;
}

function unknownKind(o: KubeObject): string {
  const known = resources.find((r) => r.kind === o.kind);
  if (known?.group === groupOf(o.apiVersion))
    return `${nameOf(o)} is of a kind that this version does not serve and has no effect: remove it`;
  if (known) return `${o.kind} of group "${groupOf(o.apiVersion)}" is unknown: did you mean apiVersion ${known.group}/${known.version}?`;
  const guess = nearest(
    o.kind,
    resources.map((r) => r.kind),
  );
  return `kind ${o.kind} (${o.apiVersion}) is unknown: ${guess === undefined ? 'remove it, or check its spelling' : `did you mean ${guess}?`}`;
}

function identityOf(o: KubeObject): string {
  return `${groupOf(o.apiVersion)}/${o.kind}/${o.metadata.namespace ?? ''}/${o.metadata.name}`;
}

/** Which loaded objects a broken document may have been. */
function identitiesOf(g: Guess, loaded: Iterable<string>): readonly string[] {
  return [...loaded].filter((id) => {
    const [, kind, namespace, name] = id.split('/');
    return kind === g.kind && name === g.name && (namespace === '' || namespace === (g.namespace ?? 'default'));
  });
}

function nameOf(o: KubeObject): string {
  return `${o.kind} ${keyOf(o)}`;
}

/** Everything that counts for the generation. */
function content(o: KubeObject): unknown {
  const { metadata: _, ...rest } = o;
  return { ...rest, status: undefined };
}

function uidOf(id: string): string {
  const h = createHash('sha1').update(id).digest('hex');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20, 32)}`;
}

function encodeStringData({ stringData, ...secret }: Secret): Secret {
  if (!stringData) return secret;
  const data = Object.entries(stringData).map(([name, value]) => [name, Buffer.from(value).toString('base64')] as const);
  return { ...secret, data: { ...secret.data, ...Object.fromEntries(data) } };
}
