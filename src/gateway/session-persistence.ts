/** sessionPersistence of HTTPRoute and GRPCRoute rules -> Session. Source: Gateway API, GEP-1619. */
import { createHash } from 'node:crypto';
import type { Cluster } from '../ir/backend.ts';
import type { Session } from '../ir/session.ts';
import type { SessionPersistence } from '../kube/types/gateway-api.ts';
import { durationMs, invalidDuration } from '../policy/duration.ts';
import { isHeaderName } from '../ir/header-syntax.ts';
import type { Problem } from '../policy/problem.ts';

/** What a session must not replace: a request would not arrive with it, or would lose what others read there. */
const reserved: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-length',
  'content-type',
  'cookie',
  'host',
  'location',
  'set-cookie',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Translates the session of the rule named `rule`, unique over all routes. `field` is where problems are. A timeout that the proxy could not keep is
 * a problem: a session that silently lasts longer than it may would be found out too late.
 */
export function sessionOf(spec: SessionPersistence | undefined, rule: string, field: string, problems: Problem[]): Session | undefined {
  if (!spec) return undefined;
  const header = spec.type === 'Header';
  const name = spec.sessionName ?? `${header ? 'x-session' : 'session'}-${createHash('sha256').update(rule).digest('hex').slice(0, 12)}`;
  if (!isHeaderName(name)) {
    problems.push({
      field: `${field}.sessionName`,
      message: `${JSON.stringify(name)} cannot name a ${header ? 'header' : 'cookie'}; use letters, digits, - and _`,
    });
  } else if (header && (reserved.has(name.toLowerCase()) || /^x-(envoy|kgateway)-/i.test(name))) {
    problems.push({ field: `${field}.sessionName`, message: `header ${name} has a meaning of its own; choose another name` });
  }
  const lifetime = lifetimeMs(spec, field, problems);
  return header
    ? { type: 'header', name: name.toLowerCase() }
    : { type: 'cookie', name, ...(lifetime !== undefined && { lifetimeMs: lifetime }) };
}

function lifetimeMs(spec: SessionPersistence, field: string, problems: Problem[]): number | undefined {
  const text = spec.absoluteTimeout;
  if (text === undefined) return undefined;
  const at = `${field}.absoluteTimeout`;
  const ms = durationMs(text);
  if (ms === undefined) {
    problems.push({ field: at, message: invalidDuration(text) });
  } else if (spec.type === 'Header' || spec.cookieConfig?.lifetimeType !== 'Permanent') {
    const what = spec.type === 'Header' ? 'a session in a header' : 'a cookie of lifetimeType Session';
    problems.push({ field: at, message: `is not supported for ${what}; use type Cookie with cookieConfig.lifetimeType: Permanent` });
  } else if (ms < 1000) {
    problems.push({ field: at, message: `${text} is too short for a cookie; use at least 1s` });
  }
  return ms;
}

/** True of backends that a session cannot be tied to an endpoint of: an endpoint picker chooses, or the host that the request names. */
export function choosesByRequest({ inference, discovery }: Cluster): boolean {
  return inference === 'pool' || discovery?.from === 'host' || discovery?.from === 'original-destination';
}
