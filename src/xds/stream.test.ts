import { describe, expect, test } from 'vitest';
import { lengthDelimited } from './discovery.ts';
import { TypeUrl, versionOf } from './resource.ts';
import type { XdsResource } from './resource.ts';
import { debugStream, newStream, step } from './stream.ts';
import type { Input, Output } from './stream.ts';

const { cluster: CDS, endpoint: EDS, listener: LDS, scopedRoute: SRDS, route: RDS, secret: SDS } = TypeUrl;

function resource(type: TypeUrl, name: string, body: string, clusters: readonly string[] = []): XdsResource {
  const bytes = lengthDelimited(1, `${type}/${name}/${body}/${clusters.join(',')}`);
  return { scope: 's', type, name, version: versionOf(bytes), bytes, origins: [], clusters };
}

type Respond = Extract<Output, { kind: 'respond' }>;

/** A stream with its store, driven by hand. */
function world(protocol: 'delta' | 'sotw' = 'delta') {
  const stored = new Map<string, Map<string, XdsResource>>();
  const state = newStream(protocol, '1');
  const log: Output[] = [];
  const view = {
    get: (type: string, name: string) => stored.get(type)?.get(name),
    names: (type: string) => stored.get(type)?.keys() ?? [],
  };
  const run = (input: Input): Output[] => {
    const out = step(state, input, view);
    log.push(...out);
    return out;
  };
  const last = (type: string): Respond => {
    const found = log.findLast((o): o is Respond => o.kind === 'respond' && o.type === type);
    if (!found) throw new Error(`no response of ${type}`);
    return found;
  };
  const request = (type: string, more: Partial<Extract<Input, { kind: 'delta' }>['request']> = {}) =>
    run({ kind: 'delta', request: { type, subscribe: [], unsubscribe: [], initialVersions: new Map(), nonce: '', ...more } });
  return {
    state,
    log,
    run,
    last,
    request,
    state0: (type: string, names: string[] = [], more: { nonce?: string; error?: string } = {}) =>
      run({ kind: 'state', request: { type, names, version: '', nonce: '', ...more } }),
    /** Changes the store as one flush does: resources are put, [type, name] pairs deleted. */
    flush(...changes: (XdsResource | readonly [TypeUrl, string])[]) {
      const changed = new Map<string, Set<string>>();
      for (const c of changes) {
        const [type, name] = 'type' in c ? [c.type, c.name] : c;
        const names = stored.get(type) ?? new Map<string, XdsResource>();
        stored.set(type, names);
        if ('type' in c) names.set(name, c);
        else names.delete(name);
        changed.set(type, (changed.get(type) ?? new Set()).add(name));
      }
      return run({ kind: 'changed', changes: changed });
    },
    ack: (type: string) => request(type, { nonce: last(type).nonce }),
    nack: (type: string, error = 'no') => request(type, { nonce: last(type).nonce, error }),
    timeout: () => run({ kind: 'timeout', token: state.timers }),
  };
}

/** What was sent, readably: `CDS +a +b -c`. */
function sent(out: readonly Output[]): string[] {
  const short = new Map(Object.entries({ CDS, EDS, LDS, SRDS, RDS, SDS }).map(([k, v]) => [v as string, k]));
  return out.flatMap((o) =>
    o.kind === 'respond'
      ? [[short.get(o.type) ?? o.type, ...o.resources.map((r) => `+${r.name}`), ...o.removed.map((n) => `-${n}`)].join(' ')]
      : [],
  );
}

const cluster = (name: string, body = '1') => resource(CDS, name, body);
const endpoints = (name: string, body = '1') => resource(EDS, name, body);
const listener = (name: string, body = '1', clusters: string[] = []) => resource(LDS, name, body, clusters);
const scope = (name: string, clusters: string[] = [], body = '1') => resource(SRDS, name, body, clusters);

describe('subscriptions', () => {
  test('a first request without names subscribes to all clusters, listeners and scoped routes', () => {
    const w = world();
    w.flush(cluster('a'), listener('l'), scope('x'));
    expect(sent(w.request(CDS))).toEqual(['CDS +a']);
    expect(sent(w.request(LDS))).toEqual(['LDS +l']);
    expect(sent(w.request(SRDS))).toEqual(['SRDS +x']);
  });

  test('a first request without names subscribes to no endpoints, routes or secrets', () => {
    const w = world();
    w.flush(endpoints('a'), resource(RDS, 'r', ''), resource(SDS, 's', ''));
    expect([EDS, RDS, SDS].flatMap((type) => sent(w.request(type)))).toEqual([]);
    expect(sent(w.flush(endpoints('a', '2')))).toEqual([]);
    expect(sent(w.request(EDS, { subscribe: ['a'] }))).toEqual(['EDS +a']);
  });

  test('* subscribes to all, and unsubscribing from it ends that', () => {
    const w = world();
    w.flush(cluster('a'), cluster('b'));
    expect(sent(w.request(CDS, { subscribe: ['*', 'b'] }))).toEqual(['CDS +b +a'].map(() => expect.stringMatching(/CDS .*\+a|CDS \+a.*/)));
    w.ack(CDS);
    w.request(CDS, { unsubscribe: ['*'] });
    expect(sent(w.flush(cluster('a', '2'), cluster('b', '2')))).toEqual(['CDS +b']);
  });

  test('names asked for after a wildcard are added to it', () => {
    const w = world();
    w.flush(cluster('a'), cluster('b'));
    w.request(CDS);
    w.ack(CDS);
    expect(sent(w.request(CDS, { subscribe: ['b'] }))).toEqual(['CDS +b']);
    w.ack(CDS);
    expect(sent(w.flush(cluster('a', '2')))).toEqual(['CDS +a']);
    w.ack(CDS);
    // Unsubscribing from the name must be answered: the wildcard still covers it.
    expect(sent(w.request(CDS, { unsubscribe: ['b'] }))).toEqual(['CDS +b']);
  });

  test('a wildcard type without resources is answered with an empty response, once', () => {
    const w = world();
    expect(sent(w.request(SRDS))).toEqual(['SRDS']);
    expect(sent(w.ack(SRDS))).toEqual([]);
  });

  test('an unknown name is answered as removed, and sent when it appears', () => {
    const w = world();
    expect(sent(w.request(EDS, { subscribe: ['a'] }))).toEqual(['EDS -a']);
    expect(sent(w.ack(EDS))).toEqual([]);
    expect(sent(w.flush(endpoints('a')))).toEqual(['EDS +a']);
  });

  test('a type that we do not know is answered too', () => {
    const w = world();
    expect(sent(w.request('t/Runtime'))).toEqual(['t/Runtime']);
    expect(sent(w.request('t/Ecds', { subscribe: ['f'] }))).toEqual(['t/Ecds -f']);
  });

  test('a name subscribed to again is sent again in the same version', () => {
    const w = world();
    w.flush(endpoints('a'));
    w.request(EDS, { subscribe: ['a'] });
    w.ack(EDS);
    w.request(EDS, { unsubscribe: ['a'] });
    expect(sent(w.flush(endpoints('a', '2')))).toEqual([]);
    expect(sent(w.request(EDS, { subscribe: ['a'] }))).toEqual(['EDS +a']);
  });
});

describe('reconnect', () => {
  test('what the client has is not sent again, what is gone is removed', () => {
    const w = world();
    w.flush(listener('same'), listener('changed', '2'));
    const initialVersions = new Map([
      ['same', listener('same').version],
      ['changed', listener('changed').version],
      ['gone', 'x'],
    ]);
    expect(sent(w.request(LDS, { initialVersions }))).toEqual(['LDS +changed -gone']);
  });

  test('by name too', () => {
    const w = world();
    const [a, b] = [resource(SDS, 'a', ''), resource(SDS, 'b', '')];
    w.flush(a, b);
    expect(sent(w.request(SDS, { subscribe: ['a', 'b', 'c'], initialVersions: new Map([['a', a.version]]) }))).toEqual(['SDS +b -c']);
  });

  test('endpoints are sent again all the same: a cluster may be warming for them', () => {
    const w = world();
    w.flush(endpoints('a'));
    expect(sent(w.request(EDS, { subscribe: ['a'], initialVersions: new Map([['a', endpoints('a').version]]) }))).toEqual(['EDS +a']);
  });

  test('listeners from before count as serving', () => {
    const w = world();
    w.flush(listener('l'));
    expect(w.request(LDS, { initialVersions: new Map([['l', listener('l').version]]) })).toEqual([{ kind: 'serving' }]);
  });

  test('clusters are removed only after the client has said which routes it has, and these have been replaced', () => {
    const w = world();
    w.flush(cluster('new'), scope('x', ['new']));
    w.request(CDS, {
      initialVersions: new Map([
        ['old', '1'],
        ['new', cluster('new').version],
      ]),
    });
    expect(sent(w.log)).toEqual([]);
    expect(sent(w.request(SRDS, { initialVersions: new Map([['x', 'older']]) }))).toEqual(['SRDS +x']);
    expect(sent(w.timeout())).toEqual([]);
    w.ack(SRDS);
    expect(sent(w.timeout())).toEqual(['CDS -old']);
  });
});

describe('acknowledgement', () => {
  test('one response under way per type; changes meanwhile merge into the next', () => {
    const w = world();
    w.flush(listener('a'));
    w.request(LDS);
    expect(sent(w.flush(listener('b')))).toEqual([]);
    expect(sent(w.flush(listener('b', '2'), listener('c')))).toEqual([]);
    expect(sent(w.flush([LDS, 'c']))).toEqual([]);
    expect(sent(w.ack(LDS))).toEqual(['LDS +b']);
  });

  test('a stale nonce acknowledges nothing, but its subscriptions count', () => {
    const w = world();
    w.flush(endpoints('a'), endpoints('b'));
    w.request(EDS, { subscribe: ['a'] });
    expect(sent(w.request(EDS, { nonce: '77', subscribe: ['b'] }))).toEqual([]);
    expect(debugStream(w.state)[EDS]?.acknowledged).toEqual({});
    expect(sent(w.ack(EDS))).toEqual(['EDS +b']);
  });

  test('equal versions are not sent', () => {
    const w = world();
    w.flush(listener('a'));
    w.request(LDS);
    w.ack(LDS);
    expect(sent(w.flush(listener('a')))).toEqual([]);
  });

  test('an acknowledged listener response, also an empty one, means serving', () => {
    const w = world();
    w.request(LDS);
    expect(w.ack(LDS)).toContainEqual({ kind: 'serving' });
  });
});

describe('refusal', () => {
  test('a bad resource is isolated, reported once and does not block the others', () => {
    const w = world();
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    w.flush(...names.map((n) => scope(n)));
    let out = w.request(SRDS);
    for (let rounds = 0; out.some((o) => o.kind === 'respond') && rounds < 20; rounds++) {
      out = w.last(SRDS).resources.some((r) => r.name === 'e') ? w.nack(SRDS, 'no') : w.ack(SRDS);
    }
    expect(w.log.filter((o) => o.kind === 'rejected')).toEqual([
      { kind: 'rejected', type: SRDS, name: 'e', version: scope('e').version, message: 'no' },
    ]);
    expect(Object.keys(debugStream(w.state)[SRDS]?.acknowledged ?? {}).sort()).toEqual(names.filter((n) => n !== 'e'));
    expect(sent(w.flush(scope('e'), scope('a', [], '2')))).toEqual(['SRDS +a']);
    w.ack(SRDS);
    expect(sent(w.flush(scope('e', [], '2')))).toEqual(['SRDS +e']);
    expect(w.ack(SRDS)).toContainEqual({ kind: 'cleared', type: SRDS, name: 'e' });
  });

  test('a message that names the bad one isolates it at once, the good ones first', () => {
    const w = world();
    w.flush(cluster('good-1'), cluster('bad-1'), cluster('good-2'));
    w.request(CDS);
    expect(sent(w.nack(CDS, 'Error adding/updating cluster(s) bad-1: oops'))).toEqual(['CDS +good-1 +good-2']);
    expect(sent(w.ack(CDS))).toEqual(['CDS +bad-1']);
    expect(w.nack(CDS, 'oops').filter((o) => o.kind === 'rejected')).toHaveLength(1);
  });

  test('a change is sent between the parts of a refused response', () => {
    const w = world();
    w.flush(scope('a'), scope('b'), scope('c'), scope('d'));
    w.request(SRDS);
    w.nack(SRDS);
    w.flush(scope('z'));
    expect(sent(w.ack(SRDS))).toEqual(['SRDS +z']);
    expect(sent(w.ack(SRDS))).toEqual(['SRDS +c +d']);
  });

  test('a rejection ends when the resource goes', () => {
    const w = world();
    w.flush(listener('a'));
    w.request(LDS);
    w.nack(LDS);
    const out = w.flush([LDS, 'a']);
    expect(out).toContainEqual({ kind: 'cleared', type: LDS, name: 'a' });
    expect(sent(out)).toEqual([]);
  });

  test('a rejection ends when the store returns to what the client has', () => {
    const w = world();
    w.flush(listener('a'));
    w.request(LDS);
    w.ack(LDS);
    w.flush(listener('a', 'bad'));
    w.nack(LDS);
    expect(w.flush(listener('a'))).toEqual([{ kind: 'cleared', type: LDS, name: 'a' }]);
  });

  test('a refused removal does not loop', () => {
    const w = world();
    w.flush(listener('a'), listener('b'));
    w.request(LDS);
    w.ack(LDS);
    expect(sent(w.flush([LDS, 'a'], [LDS, 'b']))).toEqual(['LDS -a -b']);
    expect(sent(w.nack(LDS))).toEqual([]);
  });

  test('removals of a refused mixed response are sent apart from its resources', () => {
    const w = world();
    w.flush(scope('a'));
    w.request(SRDS);
    w.ack(SRDS);
    expect(sent(w.flush([SRDS, 'a'], scope('b')))).toEqual(['SRDS +b -a']);
    expect(sent(w.nack(SRDS))).toEqual(['SRDS -a']);
    expect(sent(w.ack(SRDS))).toEqual(['SRDS +b']);
  });

  test('after a refused group the client hears the old version again: it may have applied the new one', () => {
    const w = world();
    w.flush(listener('a'), listener('b'));
    w.request(LDS);
    w.ack(LDS);
    w.flush(listener('a', '2'), listener('b', 'bad'));
    w.flush(listener('a'), listener('b'));
    expect(sent(w.nack(LDS))).toEqual(['LDS +a']);
  });
});

describe('make before break', () => {
  /** A client with everything that Envoy subscribes to, in the order in which it does. */
  function connected(...initial: XdsResource[]) {
    const w = world();
    w.flush(...initial);
    const endpoints = initial.filter((r) => r.type === EDS).map((r) => r.name);
    for (const type of [CDS, EDS, LDS, SRDS]) {
      if (type === EDS && endpoints.length === 0) continue;
      w.request(type, type === EDS ? { subscribe: endpoints } : {});
      w.ack(type);
    }
    return w;
  }

  test('within one flush clusters go before listeners, listeners before routes', () => {
    const w = connected();
    expect(sent(w.flush(scope('x'), listener('l'), cluster('a')))).toEqual(['CDS +a', 'LDS +l', 'SRDS +x']);
  });

  test('a route waits for its cluster and its endpoints; others go at once', () => {
    const w = connected();
    expect(sent(w.flush(scope('x', ['a']), scope('y'), cluster('a'), endpoints('a')))).toEqual(['CDS +a', 'SRDS +y']);
    w.ack(SRDS);
    expect(sent(w.ack(CDS))).toEqual([]);
    expect(sent(w.request(EDS, { subscribe: ['a'] }))).toEqual(['EDS +a']);
    expect(sent(w.ack(EDS))).toEqual(['SRDS +x']);
  });

  test('not for clusters that do not exist', () => {
    const w = connected();
    expect(sent(w.flush(scope('x', ['nowhere'])))).toEqual(['SRDS +x']);
  });

  test('not for clusters that are rejected', () => {
    const w = connected();
    w.flush(scope('x', ['a']), cluster('a'));
    expect(sent(w.nack(CDS))).toEqual(['SRDS +x']);
  });

  test('not for clusters that went meanwhile', () => {
    const w = connected();
    w.flush(scope('x', ['a', 'b']), cluster('a'), cluster('b'), endpoints('a'));
    w.ack(CDS);
    expect(sent(w.flush([EDS, 'a']))).toEqual(['SRDS +x']);
  });

  test('not longer than a second', () => {
    const w = connected();
    const out = w.flush(scope('x', ['a']), cluster('a'));
    expect(out).toContainEqual({ kind: 'timer', token: 1 });
    // A change of the held resource does not prolong the wait.
    w.flush(scope('x', ['a'], '2'));
    expect(sent(w.run({ kind: 'timeout', token: 1 }))).toEqual(['SRDS +x']);
  });

  test('a held listener is the first answer: no empty response before it', () => {
    const w = world();
    w.flush(cluster('a'), listener('l', '1', ['a']));
    w.request(CDS);
    expect(sent(w.request(LDS))).toEqual([]);
    expect(sent(w.ack(CDS))).toEqual(['LDS +l']);
  });

  test('a changed cluster hears its endpoints again', () => {
    const w = connected(cluster('a'), endpoints('a'));
    expect(sent(w.flush(cluster('a', '2')))).toEqual(['CDS +a', 'EDS +a']);
  });

  test('a cluster is removed after the route that named it, and after a grace', () => {
    const w = connected(cluster('a'), cluster('b'), scope('x', ['a']));
    expect(sent(w.flush(scope('x', ['b']), [CDS, 'a']))).toEqual(['SRDS +x']);
    expect(sent(w.timeout())).toEqual([]);
    const acked = w.ack(SRDS);
    expect(sent(acked)).toEqual([]);
    expect(acked.some((o) => o.kind === 'timer')).toBe(true);
    expect(sent(w.timeout())).toEqual(['CDS -a']);
  });

  test('a cluster whose route was refused stays: the client keeps the old route', () => {
    const w = connected(cluster('a'), scope('x', ['a']));
    w.flush(scope('x', [], 'bad'), [CDS, 'a']);
    w.nack(SRDS);
    expect(sent(w.timeout())).toEqual([]);
    w.flush(scope('x', [], 'good'));
    w.ack(SRDS);
    expect(sent(w.timeout())).toEqual(['CDS -a']);
  });

  test('a route that was rejected for want of a cluster is tried again when the cluster is there', () => {
    const w = connected();
    w.flush(scope('x', ['a']));
    w.nack(SRDS, "route: unknown cluster 'a'");
    expect(sent(w.flush(cluster('a')))).toEqual(['CDS +a']);
    expect(sent(w.ack(CDS))).toEqual(['SRDS +x']);
    expect(w.ack(SRDS)).toContainEqual({ kind: 'cleared', type: SRDS, name: 'x' });
  });

  test('endpoints stay with a cluster that waits for its removal', () => {
    const w = connected(cluster('a'), endpoints('a'), scope('x', ['a']));
    expect(sent(w.flush([CDS, 'a'], [EDS, 'a'], [SRDS, 'x']))).toEqual(['SRDS -x']);
    w.ack(SRDS);
    expect(sent(w.timeout())).toEqual(['CDS -a']);
    // Envoy unsubscribes here; a client that does not is told.
    expect(sent(w.ack(CDS))).toEqual(['EDS -a']);
  });

  test('endpoints of a cluster that stays are removed at once', () => {
    const w = connected(cluster('a'), endpoints('a'));
    expect(sent(w.flush([EDS, 'a']))).toEqual(['EDS -a']);
  });

  test('a cluster that comes back before its removal costs nothing', () => {
    const w = connected(cluster('a'), scope('x', ['a']));
    w.flush([CDS, 'a'], [SRDS, 'x']);
    w.ack(SRDS);
    expect(sent(w.flush(cluster('a')))).toEqual([]);
    expect(sent(w.timeout())).toEqual([]);
    expect(sent(w.flush(scope('x', ['a'])))).toEqual(['SRDS +x']);
  });

  test('a cluster that comes back while its removal is under way is awaited again', () => {
    const w = connected(cluster('a'), endpoints('a'));
    w.flush([CDS, 'a']);
    expect(sent(w.timeout())).toEqual(['CDS -a']);
    expect(sent(w.flush(cluster('a'), scope('x', ['a'])))).toEqual([]);
    expect(sent(w.ack(CDS))).toEqual(['CDS +a', 'EDS +a']);
    expect(sent(w.ack(CDS))).toEqual([]);
    expect(sent(w.ack(EDS))).toEqual(['SRDS +x']);
  });
});

describe('state of the world', () => {
  test('a response holds everything of the type; what is missing is removed', () => {
    const w = world('sotw');
    w.flush(listener('a'), listener('b'));
    expect(sent(w.state0(LDS))).toEqual(['LDS +a +b']);
    w.state0(LDS, [], { nonce: '1' });
    expect(sent(w.flush(listener('c')))).toEqual(['LDS +a +b +c']);
    w.state0(LDS, [], { nonce: '2' });
    expect(sent(w.flush([LDS, 'a']))).toEqual(['LDS +b +c']);
  });

  test('types by name send what changed, and unknown names get an empty answer', () => {
    const w = world('sotw');
    w.flush(endpoints('a'));
    expect(sent(w.state0(EDS, ['a']))).toEqual(['EDS +a']);
    expect(sent(w.state0(EDS, ['a', 'b'], { nonce: '1' }))).toEqual(['EDS']);
    w.state0(EDS, ['a', 'b'], { nonce: '2' });
    expect(sent(w.flush(endpoints('b')))).toEqual(['EDS +b']);
    w.state0(EDS, ['b'], { nonce: '3' });
    expect(sent(w.flush(endpoints('a', '2')))).toEqual([]);
  });

  test('a refused resource stays in its last good version', () => {
    const w = world('sotw');
    w.flush(listener('a'), listener('b'));
    w.state0(LDS);
    w.state0(LDS, [], { nonce: '1' });
    w.flush(listener('a', 'bad'));
    expect(w.state0(LDS, [], { nonce: '2', error: 'no' }).map((o) => o.kind)).toEqual(['refused', 'rejected']);
    w.flush(listener('b', '2'));
    expect(w.last(LDS).resources).toEqual([listener('a'), listener('b', '2')]);
  });

  test('routes wait for clusters here too', () => {
    const w = world('sotw');
    w.state0(CDS);
    w.state0(CDS, [], { nonce: '1' });
    w.state0(SRDS);
    w.state0(SRDS, [], { nonce: '2' });
    expect(sent(w.flush(cluster('a'), scope('x', ['a'])))).toEqual(['CDS +a']);
    expect(sent(w.state0(CDS, [], { nonce: '3' }))).toEqual(['SRDS +x']);
  });
});
