/**
 * [AuthorizationRule] -> RBAC policy: what is about the connection's target and the operation is a permission, what is about who asks a principal.
 */
import {
  type AttributeMatch,
  type Authorization,
  type AuthorizationRule,
  type Cidr,
  type Clause,
  type ClauseGroup,
  type TextMatch,
  peerPrincipalState,
} from '../../ir/authorization.ts';
import { escapeRegex } from '../../ir/regex.ts';
import {
  type CidrRange,
  type HeaderMatcher,
  type MetadataMatcher,
  MetadataSource,
  type Permission,
  type Policy,
  type Principal,
  type StringMatcher,
  type ValueMatcher,
  any,
} from '../proto/index.ts';

type Identity = Authorization['identity'];

/** Where jwt_authn leaves the payload of a verified token. */
export const jwtMetadata = { filter: 'envoy.filters.http.jwt_authn', key: 'payload' } as const;

const spiffe = 'spiffe://';

/** Envoy's policy of a rule. */
export function rbacPolicy(rule: AuthorizationRule, identity: Identity): Policy {
  if (rule.never) return { permissions: [{ any: true }], principals: [{ not_id: { any: true } }] };
  const about = Map.groupBy(rule.when, (c) => (isPermission(c) ? 'permission' : 'principal'));
  return {
    permissions: [allPermissions([anyPermissionOf(rule.to), ...permissionsOf(about.get('permission') ?? [])])],
    principals: [allPrincipals([anyPrincipalOf(rule.from, identity), ...principalsOf(about.get('principal') ?? [], identity)])],
  };
}

/** All values of a clause are of one kind. */
function isPermission(clause: Clause): boolean {
  return clause.values.every((v) => permissionOf(v) !== undefined);
}

function anyPermissionOf(groups: readonly ClauseGroup[]): Permission {
  if (groups.length === 0) return { any: true };
  return oneOf(
    groups.map((g) => allPermissions(permissionsOf(g))),
    (rules) => ({ or_rules: { rules } }),
  );
}

function permissionsOf(group: ClauseGroup): readonly Permission[] {
  return group.map(({ not, values }) => {
    const rule = oneOf(
      values.map((v) => permissionOf(v) ?? { not_rule: { any: true } }),
      (rules): Permission => ({ or_rules: { rules } }),
    );
    return not ? { not_rule: rule } : rule;
  });
}

function allPermissions(rules: readonly Permission[]): Permission {
  const said = rules.filter((r) => r.any !== true);
  return said.length === 0 ? { any: true } : oneOf(said, (all) => ({ and_rules: { rules: all } }));
}

function anyPrincipalOf(groups: readonly ClauseGroup[], identity: Identity): Principal {
  if (groups.length === 0) return { any: true };
  return oneOf(
    groups.map((g) => allPrincipals(principalsOf(g, identity))),
    (ids) => ({ or_ids: { ids } }),
  );
}

function principalsOf(group: ClauseGroup, identity: Identity): readonly Principal[] {
  return group.map(({ not, values }) => {
    const id = oneOf(
      values.map((v) => principalOf(v, identity)),
      (ids): Principal => ({ or_ids: { ids } }),
    );
    return not ? { not_id: id } : id;
  });
}

function allPrincipals(ids: readonly Principal[]): Principal {
  const said = ids.filter((i) => i.any !== true);
  return said.length === 0 ? { any: true } : oneOf(said, (all) => ({ and_ids: { ids: all } }));
}

/** The only one, or all of them joined. */
function oneOf<T>(items: readonly T[], join: (items: readonly T[]) => T): T {
  const [only, ...others] = items;
  return only !== undefined && others.length === 0 ? only : join(items);
}

/** What is about the operation; undefined for what is about who asks. */
function permissionOf(v: AttributeMatch): Permission | undefined {
  switch (v.kind) {
    case 'host':
      return { header: hostMatcher(v.match) };
    case 'method':
      return { header: headerMatcher(':method', v.match) };
    case 'path':
      return { url_path: { path: stringMatcher(v.match) } };
    case 'pathTemplate':
      return { uri_template: uriTemplate(v.template) };
    case 'port':
      return { destination_port: v.port };
    case 'destinationIp':
      return { destination_ip: cidrRange(v.cidr) };
    case 'sni':
      return { requested_server_name: stringMatcher(v.match) };
    case 'metadata':
      return { sourced_metadata: sourced(v.filter, [v.key], v.list ? listOf(v.match) : { string_match: stringMatcher(v.match) }) };
    default:
      return undefined;
  }
}

function principalOf(v: AttributeMatch, identity: Identity): Principal {
  switch (v.kind) {
    case 'principal':
      return peer(identity, withScheme(v.match));
    case 'namespace':
      return peer(identity, regex(`.*/ns/${globRegex(v.glob)}/.*`));
    case 'serviceAccount':
      return peer(identity, regex(`${spiffe}.+/ns/${escapeRegex(v.namespace)}/(.+/|)sa/${escapeRegex(v.name)}(/.+)?`));
    case 'trustDomain':
      return peer(identity, v.glob.includes('*') ? regex(`${spiffe}${globRegex(v.glob)}/.*`) : { prefix: `${spiffe}${v.glob}/` });
    case 'sourceIp':
      // At a waypoint the connection is from its ztunnel: what the PROXY header says is what `source_ip` reads, deprecated as it is, and
      // `direct_remote_ip` does not; `remote_ip` would believe X-Forwarded-For where that is trusted.
      return identity === 'filter-state' ? { source_ip: cidrRange(v.cidr) } : { direct_remote_ip: cidrRange(v.cidr) };
    case 'remoteIp':
      return { remote_ip: cidrRange(v.cidr) };
    case 'header':
      return { header: headerMatcher(v.name, v.match) };
    case 'claim':
      return jwtClaim(v.path, { or_match: { value_matchers: [{ string_match: stringMatcher(v.match) }, listOf(v.match)] } });
    case 'requestPrincipal':
      return requestPrincipal(v.match);
    default:
      // Attributes of the operation never get here; one that did would match nothing.
      return { not_id: { any: true } };
  }
}

/** The peer as ztunnel or its certificate says. Without an identity nothing matches. */
function peer(identity: Identity, match: StringMatcher): Principal {
  return identity === 'filter-state'
    ? { filter_state: { key: peerPrincipalState, string_match: match } }
    : { authenticated: { principal_name: match } };
}

function withScheme(match: TextMatch): StringMatcher {
  switch (match.type) {
    case 'exact':
      return { exact: spiffe + match.value };
    case 'prefix':
      return { prefix: spiffe + match.value };
    default:
      return stringMatcher(match);
  }
}

/**
 * `<issuer>/<subject>` is not one value in a token, and both may hold slashes: each slash of what is asked for may be the one in between.
 */
function requestPrincipal(match: TextMatch): Principal {
  const both = (issuer: StringMatcher, subject: StringMatcher): Principal => ({
    and_ids: { ids: [jwtClaim(['iss'], { string_match: issuer }), jwtClaim(['sub'], { string_match: subject })] },
  });
  const nonEmpty = regex('.+');
  if (match.type === 'present') return both(nonEmpty, nonEmpty);
  const { type, value } = match;
  const splits = [...value.matchAll(/\//g)].map(({ index }) => [value.slice(0, index), value.slice(index + 1)] as const);
  const ids: Principal[] =
    type === 'exact'
      ? splits.filter(([i, s]) => i !== '' && s !== '').map(([i, s]) => both({ exact: i }, { exact: s }))
      : type === 'prefix'
        ? [
            both({ prefix: value }, nonEmpty),
            ...splits.filter(([i]) => i !== '').map(([i, s]) => both({ exact: i }, s === '' ? nonEmpty : { prefix: s })),
          ]
        : [
            both(nonEmpty, { suffix: value }),
            ...splits.filter(([, s]) => s !== '').map(([i, s]) => both(i === '' ? nonEmpty : { suffix: i }, { exact: s })),
          ];
  return ids.length === 0 ? { not_id: { any: true } } : oneOf(ids, (all) => ({ or_ids: { ids: all } }));
}

function jwtClaim(path: readonly string[], value: ValueMatcher): Principal {
  return { sourced_metadata: sourced(jwtMetadata.filter, [jwtMetadata.key, ...path], value) };
}

function sourced(filter: string, path: readonly string[], value: ValueMatcher) {
  const metadata_matcher: MetadataMatcher = { filter, path: path.map((key) => ({ key })), value };
  return { metadata_matcher, metadata_source: MetadataSource.DYNAMIC };
}

function listOf(match: TextMatch): ValueMatcher {
  return { list_match: { one_of: { string_match: stringMatcher(match) } } };
}

function uriTemplate(template: string) {
  return {
    name: 'uri_template',
    typed_config: any('envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig', {
      // Envoy writes a segment as `*` and any number of them as `**`.
      path_template: template.replaceAll('{**}', '**').replaceAll('{*}', '*'),
    }),
  };
}

/** Host names are compared without regard to case (Istio: Operation.hosts). */
function hostMatcher(match: TextMatch): HeaderMatcher {
  const name = ':authority';
  return match.type === 'present' ? { name, present_match: true } : { name, string_match: { ...stringMatcher(match), ignore_case: true } };
}

function headerMatcher(name: string, match: TextMatch): HeaderMatcher {
  return match.type === 'present' ? { name, present_match: true } : { name, string_match: stringMatcher(match) };
}

/** Istio's string match as Envoy's. */
export function stringMatcher(match: TextMatch): StringMatcher {
  switch (match.type) {
    case 'exact':
      return { exact: match.value };
    case 'prefix':
      return { prefix: match.value };
    case 'suffix':
      return { suffix: match.value };
    case 'present':
      return regex('.+');
  }
}

function regex(text: string): StringMatcher {
  return { safe_regex: { regex: text } };
}

function globRegex(glob: string): string {
  return glob === '*' ? '[^/]+' : glob.split('*').map(escapeRegex).join('[^/]*');
}

function cidrRange({ address, bits }: Cidr): CidrRange {
  return { address_prefix: address, prefix_len: { value: bits } };
}
