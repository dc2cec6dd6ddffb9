/**
 *   [AuthorizationPolicy] -> parse -> [ParsedAuthorization], by target -> authorizationOf(everything that holds at a place) -> Authorization
 *
 * A policy that cannot be translated denies everything to what it is attached to, and says so: traffic that it was to keep out stays out.
 * Source of the semantics: Istio, "Authorization Policy", its reference and its security concepts.
 */
import type { ActionRules, Authorization, AuthorizationRule, CustomAuthorization, ExternalAuthorization } from '../ir/authorization.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { AuthorizationPolicy, AuthorizationPolicySpec } from '../kube/types/istio-security.ts';
import { parseRule } from './authorization-rule.ts';
import { type ExtAuthzLookup, externalAuthorization } from './extension-provider.ts';
import type { Mesh } from './mesh.ts';
import { type PolicyObject, type PolicyProblem, oldestFirst, policyObject } from './policy.ts';
import { parseTargets } from './policy-target.ts';

export type AuthorizationAction = 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';

/** A policy as it was read. */
export interface ParsedAuthorization extends PolicyObject {
  readonly targets: readonly ObjectRef[];
  readonly action: AuthorizationAction;
  /** Annotation `istio.io/dry-run: "true"`: only counted, never enforced. */
  readonly dryRun: boolean;
  readonly rules: readonly AuthorizationRule[];
  /** Of CUSTOM. */
  readonly provider?: ExternalAuthorization;
  readonly problems: readonly PolicyProblem[];
  /** True when it denies everything to what it is attached to, because it cannot be translated. */
  readonly failsClosed: boolean;
}

const actions: ReadonlySet<string> = new Set(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']);
const neverRule = (name: string): AuthorizationRule => ({ name, from: [], to: [], when: [], never: true });
const alwaysRule = (name: string): AuthorizationRule => ({ name, from: [], to: [], when: [] });

/** Reads a policy. Undefined when it holds nowhere on our proxies: it has no targets and names none, so it is for workloads. */
export function parseAuthorization(
  policy: AuthorizationPolicy,
  mesh: Mesh,
  clusters: ExtAuthzLookup | undefined,
): ParsedAuthorization | undefined {
  const { metadata } = policy;
  const namespace = metadata.namespace ?? '';
  const spec: AuthorizationPolicySpec = policy.spec ?? {};
  const { targets, problems: targetProblems } = parseTargets(spec, metadata, mesh.rootNamespace);
  if (targets.length === 0 && targetProblems.length === 0) return undefined;

  const base = `ns[${namespace}]-policy[${metadata.name}]`;
  const action = spec.action ?? 'ALLOW';
  const parsed = (spec.rules ?? []).map((rule, i) => parseRule(rule, `spec.rules[${i}]`, `${base}-rule[${i}]`, { namespace, mesh }));
  const problems: PolicyProblem[] = parsed.flatMap((p) => p.problems);
  if (!actions.has(action))
    problems.push({ field: 'spec.action', message: `${JSON.stringify(action)} is no action; use ALLOW, DENY, AUDIT or CUSTOM` });
  const custom = action === 'CUSTOM' ? customOf(spec, mesh, clusters) : undefined;
  problems.push(...(custom?.problems ?? []), ...(action === 'CUSTOM' ? unsupportedInCustom(spec) : []));
  if (action !== 'CUSTOM' && spec.provider) problems.push({ field: 'spec.provider', message: 'only goes with action CUSTOM; remove it' });

  const dryRun = metadata.annotations?.['istio.io/dry-run'] === 'true';
  const rules = parsed.length > 0 ? parsed.map((p) => p.rule) : [neverRule(`${base}-rule[0]`)];
  return {
    ...policyObject('security.istio.io', 'AuthorizationPolicy', metadata),
    targets,
    action,
    dryRun,
    rules,
    ...(custom?.provider && { provider: custom.provider }),
    problems: [...targetProblems, ...problems],
    // What never keeps anybody out has nothing to fail closed about.
    failsClosed: problems.length > 0 && !dryRun && action !== 'AUDIT',
  };
}

function customOf(
  spec: AuthorizationPolicySpec,
  mesh: Mesh,
  clusters: ExtAuthzLookup | undefined,
): { readonly provider?: ExternalAuthorization; readonly problems: readonly PolicyProblem[] } {
  if (!clusters) return { problems: [{ field: 'spec.action', message: 'CUSTOM is not supported by this controller; use ALLOW or DENY' }] };
  const name = spec.provider?.name;
  if (!name)
    return { problems: [{ field: 'spec.provider.name', message: 'action CUSTOM needs a provider of MeshConfig.extensionProviders' }] };
  const result = externalAuthorization(name, mesh, clusters);
  if (typeof result === 'string') return { problems: [{ field: 'spec.provider.name', message: result }] };
  return { provider: result, problems: [] };
}

/** Requests are asked about before their tokens are verified, so rules cannot depend on those (Istio: validation of CUSTOM). */
function unsupportedInCustom(spec: AuthorizationPolicySpec): readonly PolicyProblem[] {
  const message = 'cannot be used with action CUSTOM, which comes before tokens are verified';
  if (!spec.rules?.length) {
    return [{ field: 'spec.rules', message: 'action CUSTOM needs rules; write an empty rule {} to ask about every request' }];
  }
  return spec.rules.flatMap((rule, r) => [
    ...(rule.from ?? []).flatMap(({ source }, f) =>
      (['requestPrincipals', 'notRequestPrincipals'] as const)
        .filter((field) => source?.[field]?.length)
        .map((field) => ({ field: `spec.rules[${r}].from[${f}].source.${field}`, message })),
    ),
    ...(rule.when ?? []).flatMap(({ key }, w) =>
      key.startsWith('request.auth.') ? [{ field: `spec.rules[${r}].when[${w}].key`, message }] : [],
    ),
  ]);
}

/**
 * Everything that holds at a place, from the policies whose targets cover it, in any order and possibly twice. Undefined: nothing does.
 * ALLOW policies of all targets add up: once there is one, what none allows is denied.
 */
export function authorizationOf(policies: readonly ParsedAuthorization[], identity: Authorization['identity']): Authorization | undefined {
  const unique = oldestFirst(policies);
  if (unique.length === 0) return undefined;
  const sound = unique.filter((p) => !p.failsClosed && p.problems.every((problem) => isTargetProblem(problem)));
  const closed = unique.filter((p) => p.failsClosed).map((p) => alwaysRule(`${policyName(p)}-rule[0]-deny-due-to-invalid-policy`));
  const custom = customAuthorization(sound.filter((p) => p.action === 'CUSTOM'));
  const deny = actionRules(sound.filter((p) => p.action === 'DENY'));
  const denied = [...closed, ...(deny.enforced ?? []), ...custom.denied];
  return {
    identity,
    ...(custom.authorization && { custom: custom.authorization }),
    audit: actionRules(sound.filter((p) => p.action === 'AUDIT')),
    deny: { ...deny, ...(denied.length > 0 && { enforced: denied }) },
    allow: actionRules(sound.filter((p) => p.action === 'ALLOW')),
    origins: unique.map((p) => p.ref),
  };
}

/** A target that does not hold does not spoil the others. */
function isTargetProblem({ field }: PolicyProblem): boolean {
  return field.startsWith('spec.target') || field === 'spec.selector';
}

function actionRules(policies: readonly ParsedAuthorization[]): ActionRules {
  const enforced = policies.filter((p) => !p.dryRun);
  const dryRun = policies.filter((p) => p.dryRun);
  return {
    ...(enforced.length > 0 && { enforced: enforced.flatMap((p) => p.rules) }),
    ...(dryRun.length > 0 && { dryRun: dryRun.flatMap((p) => p.rules) }),
  };
}

/** One provider at a place: with more, everything that would be asked about is denied (Istio: AuthorizationPolicy.ExtensionProvider). */
function customAuthorization(policies: readonly ParsedAuthorization[]): {
  readonly authorization?: CustomAuthorization;
  readonly denied: readonly AuthorizationRule[];
} {
  const [first] = policies;
  const provider = first?.provider;
  if (!first || !provider) return { denied: [] };
  if (policies.every((p) => p.provider?.name === provider.name))
    return { authorization: { provider, ...actionRules(policies) }, denied: [] };
  const denied = policies.filter((p) => !p.dryRun).flatMap((p) => p.rules);
  return { denied: denied.map((r) => ({ ...r, name: `${r.name}-deny-due-to-bad-CUSTOM-action` })) };
}

function policyName({ ref }: ParsedAuthorization): string {
  return `ns[${ref.namespace}]-policy[${ref.name}]`;
}
