/**
 * The state machine against a model of Envoy, with random operations: store changes, messages delivered in any interleaving,
 * refusals, reconnects. What must hold: the client converges to the store, never has a route before its clusters, never loses a
 * cluster before its routes, and never waits for a timer to get what is ready.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { lengthDelimited } from './discovery.ts';
import { TypeUrl, versionOf } from './resource.ts';
import type { XdsResource } from './resource.ts';
import { debugStream, newStream, step } from './stream.ts';
import type { Input, Output, StreamState } from './stream.ts';

const { cluster: CDS, endpoint: EDS, listener: LDS, scopedRoute: SRDS } = TypeUrl;
const clusters = ['a', 'b', 'c'];
const wildcards = [CDS, LDS, SRDS] as const;
type Type = typeof CDS | typeof EDS | typeof LDS | typeof SRDS;

type Edit = { readonly type: Type; readonly name: string; readonly body: number; readonly clusters: readonly string[] };
type Op =
  | { readonly op: 'flush'; readonly edits: readonly Edit[] }
  | { readonly op: 'client' | 'server' | 'reconnect' | 'timers' }
  | { readonly op: 'resubscribe'; readonly name: string };

const edit = (type: Type, names: readonly string[], uses: readonly string[]): fc.Arbitrary<Edit> =>
  // Body 0 deletes, 4 is what the client refuses.
  fc.record({
    type: fc.constant(type),
    name: fc.constantFrom(...names),
    body: fc.integer({ min: 0, max: 4 }),
    clusters: uses.length === 0 ? fc.constant([]) : fc.subarray([...uses]),
  });
const edits = fc.oneof(
  edit(CDS, clusters, []),
  edit(EDS, clusters, []),
  edit(SRDS, ['x', 'y', 'z'], clusters),
  edit(LDS, ['l', 'm'], clusters),
);
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('flush' as const), edits: fc.array(edits, { minLength: 1, maxLength: 4 }) }) },
  { weight: 8, arbitrary: fc.record({ op: fc.constantFrom('client' as const, 'server' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('reconnect' as const, 'timers' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('resubscribe' as const), name: fc.constantFrom(...clusters) }) },
);

const isBad = (r: XdsResource | undefined): boolean => r?.bytes[2] === 4;

function resource({ type, name, body, clusters: uses }: Edit): XdsResource {
  // An inline route configuration, as far as the stream is concerned.
  const bytes = lengthDelimited(5, Buffer.from([body, ...Buffer.from(`${type}${name}${uses.join()}`)]));
  return { scope: 's', type, name, version: versionOf(bytes), bytes, origins: [], clusters: uses };
}

/** A response on its way, with what the client must have by the time that it applies it. */
type Message = Extract<Output, { kind: 'respond' }> & { readonly needs: readonly (readonly [Type, string])[] };

class Run {
  readonly store = new Map<Type, Map<string, XdsResource>>([CDS, EDS, LDS, SRDS].map((t) => [t, new Map()]));
  readonly view = {
    get: (type: string, name: string) => this.store.get(type as Type)?.get(name),
    names: (type: string) => this.store.get(type as Type)?.keys() ?? [],
  };
  readonly has = new Map<Type, Map<string, XdsResource>>([CDS, EDS, LDS, SRDS].map((t) => [t, new Map()]));
  readonly warming = new Set<string>();
  /** Scopes that Envoy has entered, with their content: it skips what is in here, even if a later one of the same response was bad. */
  readonly entered = new Map<string, string>();
  /** Clusters that were in a response without a fault. */
  readonly firm = new Set<string>();
  readonly protocol: StreamState['protocol'];
  state: StreamState;
  toClient: Message[] = [];
  toServer: Input[] = [];
  timers: number[] = [];
  rejections = new Set<string>();
  served = 0;
  streams = 0;
  asksForScopes = false;

  /** Whether the client refuses scopes that name clusters it does not have, as Envoy does with inline route configurations. */
  readonly validates: boolean;

  constructor(protocol: StreamState['protocol'], validates: boolean) {
    this.protocol = protocol;
    this.validates = validates;
    this.state = newStream(protocol, '0');
    this.store.get(LDS)?.set('base', resource({ type: LDS, name: 'base', body: 1, clusters: [] }));
    this.connect();
  }

  refuses(r: XdsResource): boolean {
    return isBad(r) || (this.validates && r.type === SRDS && r.clusters.some((c) => !this.of(CDS).has(c)));
  }

  /** It names a cluster that the store does not have, or only in a bad version: whether a validating client takes it depends on what it still has. */
  dangles(r: XdsResource): boolean {
    return this.validates && r.type === SRDS && r.clusters.some((c) => !this.view.get(CDS, c) || isBad(this.view.get(CDS, c)));
  }

  of(type: Type): Map<string, XdsResource> {
    const found = this.has.get(type);
    if (!found) throw new Error(type);
    return found;
  }

  request(
    type: string,
    more: { nonce?: string; error?: string; subscribe?: string[]; unsubscribe?: string[]; initial?: boolean } = {},
  ): void {
    const { nonce = '', error, subscribe = [], unsubscribe = [], initial = false } = more;
    const failure = error === undefined ? {} : { error };
    if (this.protocol === 'sotw') {
      const names = type === EDS ? [...this.of(CDS).keys()] : [];
      if (type === EDS && names.length === 0 && nonce === '') return;
      this.toServer.push({ kind: 'state', request: { type, names, version: '', nonce, ...failure } });
      return;
    }
    const initialVersions = new Map(initial ? [...this.of(type as Type)].map(([name, r]) => [name, r.version]) : []);
    this.toServer.push({ kind: 'delta', request: { type, subscribe, unsubscribe, initialVersions, nonce, ...failure } });
  }

  connect(): void {
    this.state = newStream(this.protocol, String(++this.streams));
    this.toClient = [];
    this.toServer = [];
    this.timers = [];
    this.rejections.clear();
    this.request(CDS, { initial: true });
    if (this.of(CDS).size > 0) this.request(EDS, { initial: true, subscribe: [...this.of(CDS).keys()] });
    this.request(LDS, { initial: true });
    this.asksForScopes = false;
    this.askForScopes();
  }

  /** Scopes are asked for by a listener: the harness has one that never changes. */
  askForScopes(): void {
    if (this.asksForScopes || this.of(LDS).size === 0) return;
    this.asksForScopes = true;
    this.request(SRDS, { initial: true });
  }

  server(input: Input): void {
    for (const out of step(this.state, input, this.view)) {
      if (out.kind === 'timer') this.timers.push(out.token);
      if (out.kind === 'rejected') this.rejections.add(`${out.type} ${out.name}`);
      if (out.kind === 'cleared') this.rejections.delete(`${out.type} ${out.name}`);
      if (out.kind !== 'respond') continue;
      this.served++;
      // State of the world repeats what was accepted before.
      const isRepeated = (r: XdsResource): boolean =>
        this.protocol === 'sotw' && this.state.types.get(r.type)?.known.get(r.name)?.accepted === r.version;
      const needs = out.resources.flatMap((r) =>
        isRepeated(r) || this.of(r.type as Type).get(r.name)?.version === r.version
          ? []
          : r.clusters.flatMap((c) => {
              const cluster = this.view.get(CDS, c);
              if (!cluster || isBad(cluster)) return [];
              const endpoints = this.view.get(EDS, c);
              return [[CDS, c] as const, ...(endpoints && !isBad(endpoints) ? [[EDS, c] as const] : [])];
            }),
      );
      this.toClient.push({ ...out, needs });
    }
  }

  /** The client takes one response, as Envoy does: clusters and listeners one by one, all else as a whole. */
  client(): void {
    const message = this.toClient.shift();
    if (!message) return;
    const type = message.type as Type;
    const bad = message.resources.filter((r) => this.refuses(r));
    const oneByOne = type === CDS || type === LDS;
    const full = this.protocol === 'sotw' && type !== EDS;
    const told = { nonce: message.nonce, ...(bad.length > 0 && { error: 'no' }) };
    if (type === EDS) for (const name of [...message.resources.map((r) => r.name), ...message.removed]) this.warming.delete(name);
    const skipped = new Set<string>();
    if (type === SRDS) {
      for (const name of message.removed) this.entered.delete(name);
      for (const r of message.resources) {
        if (this.entered.get(r.name) === String(r.bytes)) skipped.add(r.name);
        else if (this.refuses(r)) break;
        else this.entered.set(r.name, String(r.bytes));
      }
    }
    if (bad.length > 0 && !oneByOne) {
      this.request(type, told);
      return;
    }
    const good = message.resources.filter((r) => !isBad(r));
    const kept = new Set(message.resources.map((r) => r.name));
    const removed = full ? [...this.of(type).keys()].filter((name) => !kept.has(name)) : message.removed;
    const gone: string[] = [];
    const added: string[] = [];
    for (const name of removed) {
      if (type === CDS) {
        // State of the world can only isolate a refused resource by leaving the others of its response out for a moment.
        const isolating = this.protocol === 'sotw' && !this.firm.has(name);
        const users = [...this.of(SRDS).values(), ...this.of(LDS).values()];
        if (!isolating) for (const user of users) expect(user.clusters).not.toContain(name);
        if (this.of(CDS).has(name)) gone.push(name);
        this.of(EDS).delete(name);
        this.warming.delete(name);
        this.firm.delete(name);
      }
      if (type === SRDS) this.entered.delete(name);
      this.of(type).delete(name);
    }
    for (const [needType, name] of message.needs) expect([...this.of(needType).keys()]).toContain(name);
    for (const r of good) {
      if (skipped.has(r.name) || (type === EDS && !this.of(CDS).has(r.name))) continue;
      if (type === CDS) {
        const before = this.of(CDS).get(r.name);
        if (!before) added.push(r.name);
        else if (before.version !== r.version) this.warming.add(r.name);
      }
      this.of(type).set(r.name, r);
    }
    if (type === CDS && bad.length === 0) for (const r of good) this.firm.add(r.name);
    this.request(type, told);
    this.askForScopes();
    if (gone.length > 0 || added.length > 0) {
      const unsubscribe = gone.filter((name) => !added.includes(name));
      this.request(EDS, { subscribe: added, unsubscribe });
    }
  }

  settle(): void {
    for (let i = 0; this.toClient.length > 0 || this.toServer.length > 0; i++) {
      if (i > 2000) throw new Error('never settles');
      const input = this.toServer.shift();
      if (input) this.server(input);
      else this.client();
    }
    // Nothing under way: whoever still waited would wait for something that is already there.
    expect(Object.values(debugStream(this.state)).flatMap((t) => Object.keys(t.held))).toEqual([]);
    if (this.protocol === 'delta') expect([...this.warming].filter((name) => this.view.get(CDS, name))).toEqual([]);
  }

  fireTimers(): void {
    for (let i = 0; this.timers.length > 0; i++) {
      if (i > 50) throw new Error('timers without end');
      for (const token of this.timers.splice(0)) this.server({ kind: 'timeout', token });
      this.settle();
    }
  }

  run(o: Op): void {
    switch (o.op) {
      case 'flush': {
        const changes = new Map<string, Set<string>>();
        for (const e of o.edits) {
          if (e.body === 0) this.store.get(e.type)?.delete(e.name);
          else this.store.get(e.type)?.set(e.name, resource(e));
          changes.set(e.type, (changes.get(e.type) ?? new Set()).add(e.name));
        }
        this.server({ kind: 'changed', changes });
        break;
      }
      case 'client':
        this.client();
        break;
      case 'server': {
        const input = this.toServer.shift();
        if (input) this.server(input);
        break;
      }
      case 'timers':
        this.settle();
        this.fireTimers();
        break;
      case 'reconnect':
        if (this.protocol === 'delta') this.connect();
        break;
      case 'resubscribe':
        if (this.protocol === 'delta' && this.of(CDS).has(o.name)) this.request(EDS, { unsubscribe: [o.name], subscribe: [o.name] });
        break;
    }
  }

  checkConverged(): void {
    this.settle();
    this.fireTimers();
    const used = new Set([...this.of(SRDS).values(), ...this.of(LDS).values()].flatMap((r) => r.clusters));
    // Of what is refused nobody knows for sure which version the client has.
    const keepsOld = [SRDS, LDS].some((type) =>
      [...(this.store.get(type)?.values() ?? [])].some((r) => this.refuses(r) || this.dangles(r)),
    );
    for (const type of wildcards) {
      for (const [name, wanted] of this.store.get(type) ?? []) {
        if (this.dangles(wanted)) continue;
        if (this.refuses(wanted)) expect(this.rejections).toContain(`${type} ${name}`);
        else expect(this.of(type).get(name)?.version, `${type} ${name}`).toBe(wanted.version);
      }
      for (const name of this.of(type).keys()) {
        if (this.view.get(type, name)) continue;
        // A cluster outlives the store only for a route that was kept because its new version is refused.
        expect(type === CDS && (used.has(name) || keepsOld), `${type} ${name} should be gone`).toBe(true);
      }
    }
    for (const name of this.of(CDS).keys()) {
      const wanted = this.view.get(EDS, name);
      if (!wanted || isBad(wanted) || !this.view.get(CDS, name)) continue;
      expect(this.of(EDS).get(name)?.version, `endpoints of ${name}`).toBe(wanted.version);
    }
    for (const key of this.rejections) {
      const [type, name] = key.split(' ');
      const rejected = this.view.get(type ?? '', name ?? '');
      expect(rejected && (this.refuses(rejected) || this.dangles(rejected)), `rejection of ${key}`).toBe(true);
    }
    // Counts are exact, or clusters would leak or be torn away.
    const uses = new Map<string, number>();
    for (const r of [...this.of(SRDS).values(), ...this.of(LDS).values()]) for (const c of r.clusters) uses.set(c, (uses.get(c) ?? 0) + 1);
    if (!keepsOld) expect(this.state.uses).toEqual(uses);
    // And then there is silence.
    const before = this.served;
    this.settle();
    expect(this.served).toBe(before);
  }
}

const clients = [
  { protocol: 'delta', validates: false },
  { protocol: 'delta', validates: true },
  { protocol: 'sotw', validates: false },
] as const;

for (const { protocol, validates } of clients) {
  test(`${protocol}${validates ? ', validating clusters' : ''}: the client converges, and nothing breaks on the way`, () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60, size: 'max' }), (ops) => {
        const run = new Run(protocol, validates);
        for (const o of ops) run.run(o);
        run.checkConverged();
      }),
      { numRuns: Number(process.env['MODEL_RUNS'] ?? 400) },
    );
  }, 120_000);
}
