import type { Collection, Ctx, Equals } from './collection.ts';
import type { Upstream } from './derived.ts';
import { Derived } from './derived.ts';
import type { Graph } from './graph.ts';

/** One object, or none, computed from what `fn` fetches; its key is the collection's name. */
export function singleton<O>(
  g: Graph,
  o: { readonly name: string; readonly equals?: Equals<O> },
  fn: (ctx: Ctx) => O | undefined,
): Collection<O> {
  return new Derived<true, O>(g, 'singleton', once(o.name), o, (ctx) => {
    const output = fn(ctx);
    return output === undefined ? [] : [output];
  });
}

/** The collection of one dummy object, which never changes. */
function once(name: string): Upstream<true> {
  return { changes: [], dependents: [], peek: () => true, peekKeys: () => [name] };
}
