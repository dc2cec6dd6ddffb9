// [selections in use] -> one watch each -> [Source<T>]. For kinds of which a cluster has many and we need few: only those are ever read.
import type { Collection, Source } from '../krt/index.ts';
import type { KubeClient } from './client.ts';
import { type Reflector, type ReflectorOptions, reflect } from './reflector.ts';
import type { Resource } from './resources.ts';
import type { KubeObject } from './types/meta.ts';
import { keyOf } from './types/meta.ts';

/** Objects of a namespace by their labels. Two with the same key are the same selection. */
export interface ObjectSelection {
  readonly key: string;
  readonly namespace: string;
  readonly labelSelector: string;
}

/** The watches of selections. */
export interface SelectedReflectors {
  /** Those that run now. */
  readonly reflectors: readonly Reflector[];
  /** Resolves when everything that is selected now was listed, or could not be at the first attempt. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

interface Selected {
  readonly reflector: Reflector;
  /** Keys of the objects that it selects. */
  readonly members: Set<string>;
  users: number;
  settled: boolean;
}

/** Keeps `target` equal to the union of all selections. `target.markSynced` is called at once: what is selected is known only later. */
export function reflectSelected<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  wanted: Collection<ObjectSelection>,
  target: Source<T>,
  o: Pick<ReflectorOptions<T>, 'onError' | 'project'> = {},
): SelectedReflectors {
  const selections = new Map<string, Selected>();
  const stopping = new Set<Promise<void>>();
  const waiting: (() => void)[] = [];
  const isSettled = (): boolean => [...selections.values()].every((s) => s.settled);
  const check = (): void => {
    if (isSettled()) for (const resolve of waiting.splice(0)) resolve();
  };

  const leave = (members: Set<string>, key: string): void => {
    members.delete(key);
    if (![...selections.values()].some((s) => s.members.has(key))) target.delete(key);
  };
  /** What a watch writes into: an object goes when the last selection that has it lets it go. */
  const view = (members: Set<string>, settle: () => void): Pick<Source<T>, 'set' | 'delete' | 'reset' | 'markSynced'> => ({
    set: (object) => {
      members.add(keyOf(object));
      target.set(object);
    },
    delete: (key) => leave(members, key),
    reset: (all) => {
      const objects = [...all];
      const keep = new Set(objects.map(keyOf));
      for (const key of members) if (!keep.has(key)) leave(members, key);
      for (const key of keep) members.add(key);
      for (const object of objects) target.set(object);
    },
    markSynced: settle,
  });

  const start = ({ key, namespace, labelSelector }: ObjectSelection): void => {
    const known = selections.get(key);
    if (known) {
      known.users++;
      return;
    }
    const members = new Set<string>();
    const settle = (): void => {
      const selected = selections.get(key);
      if (selected?.members === members) selected.settled = true;
      check();
    };
    const reflector = reflect(client, resource, view(members, settle) as Source<T>, {
      ...(o.project && { project: o.project }),
      namespace,
      labelSelector,
      onError: (error) => {
        o.onError?.(error);
        settle();
      },
    });
    selections.set(key, { reflector, members, users: 1, settled: false });
  };

  const end = (key: string): void => {
    const selected = selections.get(key);
    if (!selected || --selected.users > 0) return;
    selections.delete(key);
    const stopped = selected.reflector.stop().finally(() => stopping.delete(stopped));
    stopping.add(stopped);
    for (const member of selected.members) leave(selected.members, member);
    check();
  };

  target.markSynced();
  const subscription = wanted.subscribe(
    (events) => {
      for (const e of events) {
        // The new one first, so that an object of both does not go in between.
        if (e.type !== 'delete') start(e.new);
        if (e.type !== 'add') end(e.old.key);
      }
    },
    { initial: true },
  );
  return {
    get reflectors() {
      return [...selections.values()].map((s) => s.reflector);
    },
    settled: () => (isSettled() ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    stop: async () => {
      subscription[Symbol.dispose]();
      await Promise.all([...stopping, ...[...selections.values()].map((s) => s.reflector.stop())]);
    },
  };
}
