/**
 * What each scope is to have, and who is told when it changes.
 *
 *     Collection<XdsResource> --one subscription--> scope -> type -> name -> XdsResource --changed names, once a flush--> streams
 */
import type { Collection } from '../krt/index.ts';
import type { XdsResource } from './resource.ts';

/** Names that changed (appeared, changed or went), by type. */
export type Changes = ReadonlyMap<string, ReadonlySet<string>>;

/** The resources of one scope: what a stream needs to know of the world. */
export interface ScopeView {
  get(type: string, name: string): XdsResource | undefined;
  /** All names of a type, in no order. */
  names(type: string): Iterable<string>;
}

export interface ResourceStore {
  scope(scope: string): ScopeView;
  /** `listener` is called after each flush that changed something in the scope, once. */
  watch(scope: string, listener: (changes: Changes) => void): Disposable;
  /** Number of resources, by type: a metric. */
  sizes(): ReadonlyMap<string, number>;
  close(): void;
}

type ByType = Map<string, Map<string, XdsResource>>;

/** Follows a collection of resources. Cost of a flush: the number of resources that changed. */
export function createResourceStore(collection: Pick<Collection<XdsResource>, 'subscribe'>): ResourceStore {
  const scopes = new Map<string, ByType>();
  const watchers = new Map<string, Set<(changes: Changes) => void>>();

  const put = (resource: XdsResource): void => {
    let types = scopes.get(resource.scope);
    if (!types) scopes.set(resource.scope, (types = new Map()));
    let names = types.get(resource.type);
    if (!names) types.set(resource.type, (names = new Map()));
    names.set(resource.name, resource);
  };

  const remove = (resource: XdsResource): void => {
    const types = scopes.get(resource.scope);
    const names = types?.get(resource.type);
    names?.delete(resource.name);
    if (names?.size === 0) types?.delete(resource.type);
    if (types?.size === 0) scopes.delete(resource.scope);
  };

  const subscription = collection.subscribe(
    (events) => {
      const changed = new Map<string, Map<string, Set<string>>>();
      const note = ({ scope, type, name }: XdsResource): void => {
        if (!watchers.has(scope)) return;
        let types = changed.get(scope);
        if (!types) changed.set(scope, (types = new Map()));
        let names = types.get(type);
        if (!names) types.set(type, (names = new Set()));
        names.add(name);
      };
      for (const event of events) {
        const resource = event.type === 'delete' ? event.old : event.new;
        if (event.type === 'delete') remove(resource);
        else put(resource);
        note(resource);
      }
      for (const [scope, changes] of changed) for (const listener of watchers.get(scope) ?? []) listener(changes);
    },
    { initial: true },
  );

  return {
    scope: (scope) => ({
      get: (type, name) => scopes.get(scope)?.get(type)?.get(name),
      names: (type) => scopes.get(scope)?.get(type)?.keys() ?? [],
    }),
    watch(scope, listener) {
      let listeners = watchers.get(scope);
      if (!listeners) watchers.set(scope, (listeners = new Set()));
      listeners.add(listener);
      return {
        [Symbol.dispose]() {
          listeners.delete(listener);
          if (listeners.size === 0 && watchers.get(scope) === listeners) watchers.delete(scope);
        },
      };
    },
    sizes() {
      const sizes = new Map<string, number>();
      for (const types of scopes.values()) for (const [type, names] of types) sizes.set(type, (sizes.get(type) ?? 0) + names.size);
      return sizes;
    },
    close: () => subscription[Symbol.dispose](),
  };
}
