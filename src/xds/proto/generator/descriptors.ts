// [Go modules] -> [FileDescriptorSet]: protoc-gen-go keeps the serialized FileDescriptorProto of each file as a literal in its
// .pb.go; we read that literal, so neither protoc nor a Go compiler runs, only Go's downloader with its checksum database.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import descriptor from 'protobufjs/ext/descriptor.js';
import type { IFileDescriptorProto } from 'protobufjs/ext/descriptor.js';

/** One pinned Go module in the local module cache. */
export interface GoModule {
  readonly path: string;
  readonly version: string;
  /** Folder of the extracted module. */
  readonly dir: string;
}

/**
 * Downloads the modules that `go.mod` in the folder requires. The go tool refuses content that differs from go.sum;
 * that every module has a line there is checked here, because the tool accepts an absent one silently.
 */
export function downloadModules(folder: string): readonly GoModule[] {
  let output: string;
  try {
    output = execFileSync('go', ['mod', 'download', '-json'], { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 24 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `cannot download the Go modules of ${join(folder, 'go.mod')}: ${why}\n` +
        'Next step: install Go 1.26 or newer (https://go.dev/dl) and check that GOPROXY is reachable, then run this again.',
      { cause: error },
    );
  }
  const sums = new Set(readFileSync(join(folder, 'go.sum'), 'utf8').split('\n'));
  // The tool prints JSON objects one after another, not an array.
  const list = JSON.parse(`[${output.trim().replaceAll(/\n\}\s*\n\{/g, '\n},{')}]`) as readonly {
    Path: string;
    Version: string;
    Dir: string;
    Sum: string;
  }[];
  return list.map((m) => {
    if (!sums.has(`${m.Path} ${m.Version} ${m.Sum}`)) {
      throw new Error(
        `${m.Path} ${m.Version} has no hash in go.sum. Next step: run "go mod download ${m.Path}@${m.Version}" in ${folder} and commit go.sum.`,
      );
    }
    return { path: m.Path, version: m.Version, dir: m.Dir };
  });
}

const simpleEscapes: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '\\': 92,
  '"': 34,
  "'": 39,
};

/** Bytes of a Go interpreted string literal's inside (Go specification: String literals). */
export function goStringBytes(inside: string): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const m of inside.matchAll(/\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/g)) {
    parts.push(Buffer.from(inside.slice(at, m.index), 'utf8'));
    at = m.index + m[0].length;
    const [, hex, octal, u4, u8, simple] = m;
    if (hex !== undefined) parts.push(Buffer.from([Number.parseInt(hex, 16)]));
    else if (octal !== undefined) parts.push(Buffer.from([Number.parseInt(octal, 8)]));
    else if (u4 !== undefined || u8 !== undefined) {
      parts.push(Buffer.from(String.fromCodePoint(Number.parseInt(u4 ?? u8 ?? '', 16)), 'utf8'));
    } else {
      const byte = simpleEscapes[simple ?? ''];
      if (byte === undefined) throw new Error(`unknown escape ${m[0]} in a Go string literal`);
      parts.push(Buffer.from([byte]));
    }
  }
  parts.push(Buffer.from(inside.slice(at), 'utf8'));
  return Buffer.concat(parts);
}

/** The serialized descriptors in one generated Go source, both forms that protoc-gen-go has had. */
export function rawDescriptors(source: string): readonly Buffer[] {
  const found: Buffer[] = [];
  for (const m of source.matchAll(/^(?:const|var) \w+_rawDesc = ((?:"(?:[^"\\\n]|\\.)*"(?:\s*\+\s*)?)+)/gm)) {
    const literals = (m[1] ?? '').matchAll(/"((?:[^"\\\n]|\\.)*)"/g);
    found.push(Buffer.concat([...literals].map((l) => goStringBytes(l[1] ?? ''))));
  }
  for (const m of source.matchAll(/^var \w+_rawDesc = \[\]byte\{([^}]*)\}/gm)) {
    found.push(Buffer.from([...(m[1] ?? '').matchAll(/0x([0-9a-f]{2})/g)].map((b) => Number.parseInt(b[1] ?? '', 16))));
  }
  return found;
}

/**
 * Every proto file of the modules, by name, imports before importers. The first module that has a file wins
 * (well-known types and annotations are vendored more than once). A missing import is an error.
 */
export function fileDescriptors(modules: readonly GoModule[]): readonly IFileDescriptorProto[] {
  const files = new Map<string, IFileDescriptorProto>();
  for (const module of modules) {
    const sources = readdirSync(module.dir, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.pb.go'));
    for (const source of sources.toSorted()) {
      if (/(^|\/)(internal|cmd|testdata|tests?|module)\//.test(source)) continue; // test protos declare clashing names
      for (const raw of rawDescriptors(readFileSync(join(module.dir, source), 'utf8'))) {
        const file = descriptor.FileDescriptorProto.decode(raw) as IFileDescriptorProto;
        if (file.name && !files.has(file.name)) files.set(file.name, file);
      }
    }
  }
  const ordered = new Set<IFileDescriptorProto>();
  const visit = (name: string, importer: string): void => {
    const file = files.get(name);
    if (!file) throw new Error(`${importer} imports ${name}, which no module has. Next step: add its module to modules/go.mod.`);
    if (ordered.has(file)) return;
    for (const dependency of file.dependency ?? []) visit(dependency, name);
    ordered.add(file);
  };
  for (const name of [...files.keys()].toSorted()) visit(name, '');
  return [...ordered];
}
