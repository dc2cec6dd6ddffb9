/**
 * Keyed reactive collections, after Istio's krt: a controller is named collections and pure functions between them.
 *
 *   Source ──> map / flatMap / join / group / count / anyOf / singleton ──> subscribe
 *                 └─ ctx.fetch(other) records a dependency: a change there recomputes the inputs that read it, and nothing else
 *
 * A Graph settles all of it in one ascending pass (creation order is a topological order): no glitches, and each input runs at most once a flush.
 */
export type {
  Collection,
  CollectionDump,
  CollectionStats,
  Ctx,
  DependencyDump,
  DumpOptions,
  Equals,
  Event,
  Fetch,
  GraphDump,
  Index,
  Source,
} from './collection.ts';
export { flatMap, map } from './derived.ts';
export type { FlatMapOptions, MapOptions } from './derived.ts';
export { deepEqual } from './equality.ts';
export { KrtAssertionError } from './errors.ts';
export { Graph } from './graph.ts';
export type { GraphOptions } from './graph.ts';
export { anyOf, count, group } from './group.ts';
export type { Count, Group } from './group.ts';
export { join } from './join.ts';
export { singleton } from './singleton.ts';
export { source } from './source.ts';
export type { SourceOptions } from './source.ts';
