// [text of a file] -> [documents] -> [objects]. Each document is parsed by itself, so that a broken one takes no other with it.
import { load, YAMLException } from 'js-yaml';
import type { KubeObject } from './types/meta.ts';

/** A document of a file, unparsed. */
export interface YamlDocument {
  /** 1-based, counting every document between `---` lines, empty ones not. */
  readonly number: number;
  /** 1-based line in the file of its first line that says something. */
  readonly line: number;
  readonly text: string;
}

/** The documents of a file; those of only blanks and comments are left out. */
export function splitDocuments(text: string): readonly YamlDocument[] {
  const documents: YamlDocument[] = [];
  let line = 1;
  // A `---` at the start of a line cannot be content: everything inside a mapping is indented.
  for (const part of text.split(/^---(?=[ \t\r]|$)/m)) {
    const first = part.split('\n').findIndex((l) => !/^\s*(#.*)?$/.test(l) && !/^\s*%/.test(l));
    if (first >= 0) documents.push({ number: documents.length + 1, line: line + first, text: skipLines(part, first) });
    line += part.split('\n').length - 1;
  }
  return documents;
}

function skipLines(text: string, n: number): string {
  let at = 0;
  for (let i = 0; i < n; i++) at = text.indexOf('\n', at) + 1;
  return text.slice(at);
}

/** What a document holds, or why it cannot be read. */
export type ParsedDocument =
  | { readonly objects: readonly KubeObject[]; readonly problems: readonly string[] }
  /** `line` counts from the document's first line, which is 0. `guess` is the object that the text seems to be about. */
  | { readonly syntax: string; readonly line: number; readonly guess: Guess | undefined };

export interface Guess {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** Parses a document; a List gives its items. Objects without apiVersion, kind or name become problems. Never throws. */
export function parseDocument(text: string): ParsedDocument {
  let value: unknown;
  try {
    value = load(text);
  } catch (error) {
    if (!(error instanceof YAMLException)) return { syntax: String(error), line: 0, guess: guess(text) };
    return { syntax: error.reason, line: error.mark?.line ?? 0, guess: guess(text) };
  }
  const problems: string[] = [];
  const objects: KubeObject[] = [];
  const take = (item: unknown, where: string): void => {
    if (!isMapping(item)) {
      problems.push(`${where}is not an object: expected apiVersion, kind and metadata`);
      return;
    }
    if (typeof item['kind'] === 'string' && item['kind'].endsWith('List') && Array.isArray(item['items'])) {
      item['items'].forEach((one, i) => take(one, `items[${i}]: `));
      return;
    }
    const problem = identityProblem(item);
    if (problem === undefined) objects.push(item as unknown as KubeObject);
    else problems.push(where + problem);
  };
  take(value, '');
  return { objects, problems };
}

function identityProblem(o: Record<string, unknown>): string | undefined {
  for (const field of ['apiVersion', 'kind']) {
    if (typeof o[field] !== 'string' || o[field] === '')
      return `${field} is missing: every object needs apiVersion, kind and metadata.name`;
  }
  const metadata = o['metadata'];
  if (!isMapping(metadata) || metadata['name'] === undefined) return `${String(o['kind'])} has no metadata.name: give it one`;
  for (const field of ['name', 'namespace']) {
    const value = metadata[field];
    if (value !== undefined && (typeof value !== 'string' || value === '' || value.includes('/'))) {
      return `metadata.${field} ${JSON.stringify(value)} is no name: put a string in quotes if it looks like a number`;
    }
  }
  for (const field of ['labels', 'annotations']) {
    const wrong = Object.entries(metadata[field] ?? {}).find(([, value]) => typeof value !== 'string');
    if (wrong) return `metadata.${field}.${wrong[0]} is not a string: put ${JSON.stringify(wrong[1])} in quotes`;
  }
  return undefined;
}

/** The object that a text is about when YAML cannot tell: by the first lines that look so. */
function guess(text: string): Guess | undefined {
  const kind = /^kind:\s*["']?([\w]+)/m.exec(text)?.[1];
  const name = /^ +name:\s*["']?([\w.-]+)/m.exec(text)?.[1];
  if (kind === undefined || name === undefined) return undefined;
  return { kind, name, namespace: /^ +namespace:\s*["']?([\w.-]+)/m.exec(text)?.[1] };
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
