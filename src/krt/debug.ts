import type { CollectionDump, CollectionStats, DumpOptions, GraphDump } from './collection.ts';
import type { Graph } from './graph.ts';
import type { AnyStore } from './store.ts';

/** Everything that a person needs to see why a collection holds what it holds. */
export function dumpGraph(graph: Graph, stores: readonly AnyStore[], o: DumpOptions): GraphDump {
  const wanted = o.collections ? new Set(o.collections) : undefined;
  return {
    sequence: graph.sequence,
    synced: graph.synced,
    collections: stores.filter((s) => !wanted || wanted.has(s.name)).map((s) => dumpOf(s, o)),
  };
}

export function statsOf(s: AnyStore): CollectionStats {
  return { name: s.name, kind: s.kind, size: s.size, transforms: s.transforms, errors: s.errors, scans: s.scans() };
}

function dumpOf(s: AnyStore, o: DumpOptions): CollectionDump {
  const keys = [...s.peekKeys()];
  return {
    ...statsOf(s),
    id: s.id,
    inputs: s.inputs().map((i) => i.name),
    fetches: s.fetches().map((f) => f.name),
    indexes: s.indexes.map((i) => i.name),
    keys,
    ...(o.values ? { values: Object.fromEntries(keys.map((k) => [k, s.peek(k)])) } : {}),
    rows: s.rows(),
  };
}

/** A flowchart: sources are round, lines are inputs, dotted lines fetches. */
export function mermaidOf(stores: readonly AnyStore[]): string {
  const lines = ['flowchart LR'];
  for (const s of stores) {
    const text = `${s.name.replaceAll('"', '#quot;')}<br/>${s.kind}: ${s.size}`;
    lines.push(s.kind === 'source' ? `  c${s.id}(["${text}"])` : `  c${s.id}["${text}"]`);
  }
  for (const s of stores) {
    for (const i of s.inputs()) lines.push(`  c${i.id} --> c${s.id}`);
    for (const f of s.fetches()) lines.push(`  c${f.id} -.-> c${s.id}`);
  }
  return `${lines.join('\n')}\n`;
}
