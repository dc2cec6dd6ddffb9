// [whole API] -> [what the roots reach]: of about 1,900 messages we use a third, and Root.fromJSON costs time per message.
import type { IEnum, IField, INamespace, IOneOf, IType } from 'protobufjs';

/** A message or an enum in protobufjs' JSON form. */
export type Declaration = IType | IEnum;

export const isMessage = (d: Declaration): d is IType => 'fields' in d;

/** Every message and enum of a root by full name, without the leading dot. */
export function declarations(root: INamespace): ReadonlyMap<string, Declaration> {
  const found = new Map<string, Declaration>();
  const visit = (node: INamespace, prefix: string): void => {
    for (const [name, child] of Object.entries(node.nested ?? {})) {
      const fullName = prefix === '' ? name : `${prefix}.${name}`;
      if ('fields' in child || 'values' in child) found.set(fullName, child);
      visit(child, fullName);
    }
  };
  visit(root, '');
  return found;
}

/** The type a field refers to, undefined for scalars. Descriptors write references as `.package.Type`. */
export function referenceOf(field: IField): string | undefined {
  return field.type.startsWith('.') ? field.type.slice(1) : undefined;
}

/** Full names of everything that the roots reach, sorted. Throws for a root that names nothing. */
export function reachable(all: ReadonlyMap<string, Declaration>, roots: readonly string[]): readonly string[] {
  const pending: string[] = [];
  for (const root of roots) {
    const prefix = root.slice(0, -1);
    const named = root.endsWith('.*')
      ? [...all.keys()].filter((n) => n.startsWith(prefix) && !n.slice(prefix.length).includes('.'))
      : [root].filter((n) => all.has(n));
    if (named.length === 0) throw new Error(`roots.ts: ${root} names nothing. Next step: correct it against the Envoy API reference.`);
    pending.push(...named);
  }
  const kept = new Set<string>();
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const declaration = all.get(name);
    if (declaration === undefined) throw new Error(`a field refers to ${name}, which no descriptor declares`);
    if (kept.has(name)) continue;
    kept.add(name);
    if (!isMessage(declaration)) continue;
    for (const field of Object.values(declaration.fields)) {
      const reference = referenceOf(field);
      if (reference !== undefined) pending.push(reference);
    }
  }
  return [...kept].toSorted();
}

/** Options that change encoding, plus `deprecated` for the types; file, Java and Go options go. */
const keptOptions = new Set(['deprecated', 'proto3_optional', 'packed', 'features', 'json_name']);

function prunedField(field: IField): IField {
  const options = Object.fromEntries(Object.entries(field.options ?? {}).filter(([name]) => keptOptions.has(name)));
  const { options: _options, ...rest } = field;
  return Object.keys(options).length > 0 ? { ...rest, options } : rest;
}

/** The root again with only the named declarations; a parent that is not named itself stays as a mere namespace. */
export function pruned(all: ReadonlyMap<string, Declaration>, names: readonly string[]): INamespace {
  type Node = { oneofs?: Record<string, IOneOf>; fields?: Record<string, IField>; nested?: Record<string, Node> };
  const root: Node = {};
  for (const name of names) {
    let node = root;
    for (const segment of name.split('.')) node = (node.nested ??= {})[segment] ??= {};
    const declaration = all.get(name) as Declaration;
    if (isMessage(declaration)) {
      const { oneofs, fields, edition } = declaration as IType & { edition?: string };
      Object.assign(node, {
        ...(edition !== undefined && { edition }),
        ...(oneofs !== undefined && { oneofs }),
        fields: Object.fromEntries(Object.entries(fields).map(([n, f]) => [n, prunedField(f)])),
      });
    } else {
      const { values, edition } = declaration as IEnum & { edition?: string };
      Object.assign(node, { ...(edition !== undefined && { edition }), values });
    }
  }
  return root;
}
