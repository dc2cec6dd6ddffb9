// [pruned declarations] -> [types.ts, enums.ts]: interfaces of plain objects as protobufjs encodes them, numeric constants.
import type { IEnum, IField, IType } from 'protobufjs';
import { isMessage, referenceOf } from './prune.ts';
import type { Declaration } from './prune.ts';

/** 64-bit integers: protobufjs writes a bigint as 0, so it is no part of the type; above 2^53 a decimal string is exact. */
const scalarTypes: Readonly<Record<string, string>> = {
  double: 'number',
  float: 'number',
  int32: 'number',
  uint32: 'number',
  sint32: 'number',
  fixed32: 'number',
  sfixed32: 'number',
  int64: 'number | string',
  uint64: 'number | string',
  sint64: 'number | string',
  fixed64: 'number | string',
  sfixed64: 'number | string',
  bool: 'boolean',
  string: 'string',
  bytes: 'Uint8Array',
};

function fieldType(field: IField, nameOf: (fullName: string) => string): string {
  const reference = referenceOf(field);
  const single = reference === undefined ? scalarTypes[field.type] : nameOf(reference);
  if (single === undefined) throw new Error(`no TypeScript type for the proto type ${field.type}`);
  if ('keyType' in field) return `{ readonly [key: string]: ${single} }`;
  if (field.rule === 'repeated') return single.includes('|') ? `readonly (${single})[]` : `readonly ${single}[]`;
  return single;
}

function messageLines(name: string, message: IType, nameOf: (fullName: string) => string): readonly string[] {
  const oneofOf = new Map<string, string>();
  for (const [oneof, { oneof: members }] of Object.entries(message.oneofs ?? {})) {
    if (members.length > 1) for (const member of members) oneofOf.set(member, oneof);
  }
  const lines = Object.entries(message.fields).flatMap(([field, declaration]) => {
    const notes = [
      ...(oneofOf.has(field) ? [`oneof ${oneofOf.get(field)}`] : []),
      ...(declaration.options?.['deprecated'] === true ? ['@deprecated'] : []),
    ];
    const comment = notes.length > 0 ? [`  /** ${notes.join(' ')} */`] : [];
    return [...comment, `  readonly ${field}?: ${fieldType(declaration, nameOf)} | undefined;`];
  });
  return lines.length > 0 ? [`export interface ${name} {`, ...lines, '}'] : [`export type ${name} = Readonly<Record<string, never>>;`];
}

function enumLines(name: string, declaration: IEnum): readonly string[] {
  return [
    `export const ${name} = {`,
    ...Object.entries(declaration.values).map(([value, number]) => `  ${value}: ${number},`),
    '} as const;',
    `export type ${name} = (typeof ${name})[keyof typeof ${name}];`,
  ];
}

/** The two generated sources: interfaces cost nothing at run time, so the constants stand apart and only they are loaded. */
export interface GeneratedSources {
  readonly types: string;
  readonly enums: string;
}

/** The texts of types.ts and enums.ts for the named declarations. */
export function sources(
  header: string,
  all: ReadonlyMap<string, Declaration>,
  names: readonly string[],
  typeScriptName: ReadonlyMap<string, string>,
): GeneratedSources {
  const nameOf = (fullName: string): string => {
    const name = typeScriptName.get(fullName);
    if (name === undefined) throw new Error(`${fullName} is reachable but its package is ignored in names.ts`);
    return name;
  };
  const enumNames = names.filter((n) => !isMessage(all.get(n) as Declaration));
  const messages = names.filter((n) => isMessage(all.get(n) as Declaration));
  const enums = [header, '/* oxlint-disable max-lines */'];
  for (const n of enumNames) enums.push('', `/** ${n} */`, ...enumLines(nameOf(n), all.get(n) as IEnum));
  const types = [header, 'import type {', ...enumNames.map((n) => `  ${nameOf(n)},`), "} from './enums.ts';"];
  for (const n of messages) types.push('', `/** ${n} */`, ...messageLines(nameOf(n), all.get(n) as IType, nameOf));
  types.push('', '/** Every message by its full name: what `encode`, `decode` and `any` accept. */', 'export interface MessageTypes {');
  for (const n of messages) types.push(`  readonly '${n}': ${nameOf(n)};`);
  return { types: [...types, '}', ''].join('\n'), enums: [...enums, ''].join('\n') };
}
