/** [Rule of an AuthorizationPolicy] -> AuthorizationRule. Every field and every `when` key; what cannot be read is a problem. */
import type { AttributeMatch, AuthorizationRule, Clause, ClauseGroup } from '../ir/authorization.ts';
import { isHeaderName } from '../ir/header-syntax.ts';
import type {
  AuthorizationCondition,
  AuthorizationOperation,
  AuthorizationSource,
  AuthorizationRule as Rule,
} from '../kube/types/istio-security.ts';
import type { Mesh } from './mesh.ts';
import type { PolicyProblem } from './policy.ts';
import { parseCidr, pathTemplateOf, textMatch } from './text-match.ts';
import { principalsWithAliases } from './trust-domain.ts';

/** What the values of a rule are read with. */
export interface RuleContext {
  /** Of the policy: a service account without namespace is of this one. */
  readonly namespace: string;
  readonly mesh: Pick<Mesh, 'trustDomain' | 'trustDomainAliases'>;
}

/** A value of an attribute, or why it is none. */
type ValueReader = (value: string, context: RuleContext) => readonly AttributeMatch[] | string;

const address = (kind: 'sourceIp' | 'remoteIp' | 'destinationIp'): ValueReader => {
  return (value) => {
    const cidr = parseCidr(value);
    return cidr ? [{ kind, cidr }] : `${JSON.stringify(value)} is no IP address or CIDR range; write it like 10.0.0.1 or 10.0.0.0/8`;
  };
};

const text = (kind: 'requestPrincipal' | 'host' | 'method' | 'sni'): ValueReader => {
  return (value) => [{ kind, match: textMatch(value) }];
};

const principal: ValueReader = (value, { mesh }) =>
  principalsWithAliases(value, mesh).map((id) => ({ kind: 'principal', match: textMatch(id) }));
const namespace: ValueReader = (value) => [{ kind: 'namespace', glob: value }];
const trustDomain: ValueReader = (value) => [{ kind: 'trustDomain', glob: value }];

const serviceAccount: ValueReader = (value, context) => {
  const parts = value.split('/');
  const [first = '', second] = parts;
  if (value.includes('*')) return `${JSON.stringify(value)} has a wildcard, which service accounts cannot have; use principals`;
  if (parts.length > 2 || first === '' || second === '') {
    return `${JSON.stringify(value)} is no service account; write <namespace>/<name> or <name>`;
  }
  return [{ kind: 'serviceAccount', namespace: second === undefined ? context.namespace : first, name: second ?? first }];
};

const port: ValueReader = (value) => {
  const number = Number(value);
  return /^\d{1,5}$/.test(value) && number > 0 && number < 65_536
    ? [{ kind: 'port', port: number }]
    : `${JSON.stringify(value)} is no port; write a number from 1 to 65535`;
};

const path: ValueReader = (value) => {
  const template = pathTemplateOf(value);
  if (template === 'plain') return [{ kind: 'path', match: textMatch(value) }];
  if (template === 'template') return [{ kind: 'pathTemplate', template: value }];
  return `${JSON.stringify(value)} is no path template; {*} and {**} must be whole segments, {**} the last operator, with no other *, { or }, no empty segment, and nothing to be escaped`;
};

const claim = (claimPath: readonly string[]): ValueReader => {
  return (value) => [{ kind: 'claim', path: claimPath, match: textMatch(value) }];
};

const sourceFields = {
  principals: principal,
  requestPrincipals: text('requestPrincipal'),
  namespaces: namespace,
  serviceAccounts: serviceAccount,
  ipBlocks: address('sourceIp'),
  remoteIpBlocks: address('remoteIp'),
  trustDomains: trustDomain,
} as const satisfies Partial<Record<keyof AuthorizationSource, ValueReader>>;

const operationFields = { hosts: text('host'), ports: port, methods: text('method'), paths: path } as const satisfies Partial<
  Record<keyof AuthorizationOperation, ValueReader>
>;

const plainKeys: Readonly<Record<string, ValueReader>> = {
  'source.ip': address('sourceIp'),
  'remote.ip': address('remoteIp'),
  'source.namespace': namespace,
  'source.principal': principal,
  'source.serviceAccount': serviceAccount,
  'source.trustDomain': trustDomain,
  'request.auth.principal': text('requestPrincipal'),
  'request.auth.audiences': claim(['aud']),
  'request.auth.presenter': claim(['azp']),
  'destination.ip': address('destinationIp'),
  'destination.port': port,
  'connection.sni': text('sni'),
};

/** How the values of a `when` key are read; undefined for a key that Istio does not know. */
function conditionReader(key: string): ValueReader | undefined {
  if (Object.hasOwn(plainKeys, key)) return plainKeys[key];
  const header = /^request\.headers\[([^\]]+)\]$/.exec(key)?.[1];
  if (header !== undefined) {
    if (!isHeaderName(header.startsWith(':') ? header.slice(1) : header)) return undefined;
    return (value) => [{ kind: 'header', name: header.toLowerCase() === 'host' ? ':authority' : header, match: textMatch(value) }];
  }
  const claims = /^request\.auth\.claims((?:\[[^[\]]+\])+)$/.exec(key)?.[1];
  if (claims !== undefined) return claim(claims.slice(1, -1).split(']['));
  const metadata = /^experimental\.(envoy\.filters\.[^[]+)\[([^\]]+)\]$/.exec(key);
  if (metadata) {
    const [, filter = '', name = ''] = metadata;
    return (value) => {
      const list = value.startsWith('[') && value.endsWith(']');
      return [{ kind: 'metadata', filter, key: name, list, match: textMatch(list ? value.slice(1, -1) : value) }];
    };
  }
  return undefined;
}

/** Reads a rule. With problems, what is returned is not to be used. */
export function parseRule(
  rule: Rule,
  field: string,
  name: string,
  context: RuleContext,
): { readonly rule: AuthorizationRule; readonly problems: readonly PolicyProblem[] } {
  const problems: PolicyProblem[] = [];
  const clause = (at: string, values: readonly string[] | undefined, reader: ValueReader, not: boolean): readonly Clause[] => {
    if (values === undefined || values.length === 0) return [];
    const matches = values.flatMap((value, i) => {
      const read = typeof value !== 'string' || value === '' ? 'must not be empty' : reader(value, context);
      if (typeof read !== 'string') return read;
      problems.push({ field: `${at}[${i}]`, message: read });
      return [];
    });
    return [{ not, values: matches }];
  };
  const group = (at: string, fields: Readonly<Record<string, ValueReader>>, object: object | undefined): ClauseGroup => {
    const values = (object ?? {}) as Readonly<Record<string, readonly string[] | undefined>>;
    const known = new Set(Object.keys(fields).flatMap((f) => [f, notOf(f)]));
    for (const unknown of Object.keys(values).filter((f) => !known.has(f))) {
      problems.push({ field: `${at}.${unknown}`, message: 'is not a field that this controller knows; remove it' });
    }
    const clauses = Object.entries(fields).flatMap(([f, reader]) => [
      ...clause(`${at}.${f}`, values[f], reader, false),
      ...clause(`${at}.${notOf(f)}`, values[notOf(f)], reader, true),
    ]);
    if (clauses.length === 0) problems.push({ field: at, message: 'must say something; leave the list out to match everything' });
    return clauses;
  };
  if (rule.from?.length === 0) problems.push({ field: `${field}.from`, message: 'must not be empty; leave it out to match every source' });
  if (rule.to?.length === 0) problems.push({ field: `${field}.to`, message: 'must not be empty; leave it out to match every operation' });
  for (const unknown of Object.keys(rule).filter((f) => f !== 'from' && f !== 'to' && f !== 'when')) {
    problems.push({ field: `${field}.${unknown}`, message: 'is not a field that this controller knows; remove it' });
  }
  const parsed: AuthorizationRule = {
    name,
    from: (rule.from ?? []).map(({ source }, i) => group(`${field}.from[${i}].source`, sourceFields, source)),
    to: (rule.to ?? []).map(({ operation }, i) => group(`${field}.to[${i}].operation`, operationFields, operation)),
    when: (rule.when ?? []).flatMap((condition, i) => parseCondition(condition, `${field}.when[${i}]`)),
  };
  return { rule: parsed, problems };

  function parseCondition({ key, values, notValues }: AuthorizationCondition, at: string): ClauseGroup {
    const reader = conditionReader(key);
    if (!reader) {
      problems.push({
        field: `${at}.key`,
        message: `${JSON.stringify(key)} is not a condition of Istio; see "Authorization Policy Conditions"`,
      });
      return [];
    }
    const clauses = [...clause(`${at}.values`, values, reader, false), ...clause(`${at}.notValues`, notValues, reader, true)];
    if (clauses.length === 0) problems.push({ field: at, message: 'needs values or notValues' });
    return clauses;
  }
}

function notOf(field: string): string {
  return `not${field.charAt(0).toUpperCase()}${field.slice(1)}`;
}
