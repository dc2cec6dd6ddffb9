/**
 * What changes for policies that are there when a namespace gets a waypoint:
 *
 *   [AuthorizationPolicy, RequestAuthentication] without targetRefs, [VirtualService] ─> Finding: what, why, what to do
 *
 * Such a policy is enforced by the ztunnel of the workload. Behind a waypoint its client is the waypoint, and it sees no HTTP.
 * Source: Istio, "Use Layer 7 features", policies and waypoints; how ztunnel takes policies: "Layer 4 security policy".
 */
import type { AuthorizationPolicy, AuthorizationRule, PolicyScope, RequestAuthentication } from '../kube/types/istio-security.ts';
import type { KubeObject } from '../kube/types/meta.ts';

export interface Finding {
  /** `AuthorizationPolicy demo/frontend-only`. */
  readonly object: string;
  /** `security`: something is let through that was not, or tokens and clients are not looked at any more; `traffic`: something is refused. */
  readonly risk: 'security' | 'traffic';
  readonly what: string;
  readonly next: string;
}

export interface PreflightInputs {
  readonly namespace: string;
  readonly rootNamespace: string;
  /** Of the namespace and of the root namespace. */
  readonly authorizationPolicies: readonly AuthorizationPolicy[];
  readonly requestAuthentications: readonly RequestAuthentication[];
  /** Of the namespace. */
  readonly virtualServices: readonly KubeObject[];
}

/** In the order of the objects; empty: nothing changes. */
export function preflight(inputs: PreflightInputs): readonly Finding[] {
  const here = ({ metadata }: KubeObject): boolean =>
    metadata.namespace === inputs.namespace || metadata.namespace === inputs.rootNamespace;
  return [
    ...inputs.authorizationPolicies.filter(here).flatMap(ofAuthorization),
    ...inputs.requestAuthentications.filter(here).flatMap(ofTokens),
    ...inputs.virtualServices.filter(here).map(ofVirtualService),
  ];
}

const toService =
  'write it with targetRefs: [{ kind: Service, name: ... }] as well, and keep this one until all clients go through the waypoint';

function isForWorkloads(spec: PolicyScope | undefined): boolean {
  return !spec?.targetRefs?.length && !spec?.targetRef;
}

function nameOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace}/${metadata.name}`;
}

function ofAuthorization(policy: AuthorizationPolicy): readonly Finding[] {
  const { spec = {} } = policy;
  const object = nameOf({ ...policy, kind: 'AuthorizationPolicy' });
  if (!isForWorkloads(spec)) return ofClass(policy, object);
  const action = spec.action ?? 'ALLOW';
  if (action === 'CUSTOM' || action === 'AUDIT') {
    return [
      { object, risk: 'security', what: `action ${action} is not done by ztunnel, and the waypoint does not look at it`, next: toService },
    ];
  }
  const rules = spec.rules ?? [];
  const findings: Finding[] = [];
  const add = (risk: Finding['risk'], what: string, next = toService): void => void findings.push({ object, risk, what, next });
  const about = (test: (rule: AuthorizationRule) => boolean): string | undefined => {
    const found = rules.flatMap((rule, i) => (test(rule) ? [`rules[${i}]`] : []));
    return found.length > 0 ? found.join(', ') : undefined;
  };
  const clients = about(namesClients);
  if (clients !== undefined) {
    if (action === 'ALLOW') {
      add(
        'traffic',
        `${clients} name clients, and behind a waypoint the client that a workload sees is the waypoint: requests through it are refused`,
        `allow the ServiceAccount of the waypoint here (principals: ["*/ns/<namespace>/sa/<name of the Gateway>"]), and name the clients in a policy with targetRefs: [{ kind: Service, name: ... }]`,
      );
    } else
      add(
        'security',
        `${clients} name clients, and the client that a workload sees is the waypoint: what comes through it is not denied any more`,
      );
  }
  const http = about(needsHttp);
  if (http !== undefined) {
    if (action === 'ALLOW')
      add('traffic', `${http} need HTTP, which ztunnel does not see: they never match, and the waypoint does not look at them`);
    else
      add(
        'security',
        `${http} need HTTP, which ztunnel does not see: it denies without those fields, or not at all, and the waypoint does not look at them`,
      );
  }
  if (!spec.selector && action === 'ALLOW') {
    add(
      'traffic',
      'without a selector it also holds for the Pods of a waypoint in its namespace, with the identity of the real client: who is not allowed does not reach the waypoint at all',
      'give it a selector, or allow all clients of the waypoint',
    );
  }
  return findings;
}

/** A class of Istio's own means none of ours. */
function ofClass({ spec }: AuthorizationPolicy, object: string): readonly Finding[] {
  const refs = [...(spec?.targetRefs ?? []), ...(spec?.targetRef ? [spec.targetRef] : [])];
  const ofIstio = refs.some((r) => r.kind === 'GatewayClass' && r.name === 'istio-waypoint');
  if (!ofIstio || refs.some((r) => r.kind === 'GatewayClass' && r.name.startsWith('kgateway-waypoint'))) return [];
  const next = 'add targetRefs: { group: gateway.networking.k8s.io, kind: GatewayClass, name: kgateway-waypoint }';
  return [{ object, risk: 'security', what: 'holds for waypoints of class istio-waypoint alone', next }];
}

function ofTokens(policy: RequestAuthentication): readonly Finding[] {
  if (!isForWorkloads(policy.spec)) return [];
  const object = nameOf({ ...policy, kind: 'RequestAuthentication' });
  const what = 'tokens are not verified by ztunnel, and the waypoint does not look at a policy without targetRefs';
  return [{ object, risk: 'security', what, next: toService }];
}

function ofVirtualService(object: KubeObject): Finding {
  const what = 'VirtualServices are not read by waypoints of kgateway';
  return {
    object: nameOf({ ...object, kind: 'VirtualService' }),
    risk: 'traffic',
    what,
    next: 'write it as HTTPRoute with the Service as parent',
  };
}

function namesClients({ from = [], when = [] }: AuthorizationRule): boolean {
  const ofPeer = [
    'principals',
    'namespaces',
    'serviceAccounts',
    'ipBlocks',
    'trustDomains',
    'notPrincipals',
    'notNamespaces',
    'notServiceAccounts',
    'notIpBlocks',
    'notTrustDomains',
  ] as const;
  return from.some(({ source }) => ofPeer.some((field) => source?.[field]?.length)) || when.some(({ key }) => key.startsWith('source.'));
}

function needsHttp({ from = [], to = [], when = [] }: AuthorizationRule): boolean {
  const ofRequest = ['hosts', 'methods', 'paths', 'notHosts', 'notMethods', 'notPaths'] as const;
  return (
    to.some(({ operation }) => ofRequest.some((field) => operation?.[field]?.length)) ||
    when.some(({ key }) => key.startsWith('request.') || key.startsWith('remote.')) ||
    from.some(({ source }) =>
      (['requestPrincipals', 'notRequestPrincipals', 'remoteIpBlocks', 'notRemoteIpBlocks'] as const).some(
        (field) => source?.[field]?.length,
      ),
    )
  );
}

/** As the command prints it. `unreadable`: resources that could not be looked at, for want of rights. */
export function describeFindings(namespace: string, findings: readonly Finding[], unreadable: readonly string[] = []): string {
  const peers = 'PeerAuthentication needs nothing: traffic from a waypoint is mTLS, and the ztunnel of the workload goes on to enforce it.';
  if (findings.length === 0 && unreadable.length === 0)
    return `Nothing changes for the policies of namespace ${namespace} with a waypoint.\n${peers}`;
  const lines = findings.flatMap(({ object, risk, what, next }) => [
    `${risk === 'security' ? 'SECURITY' : 'TRAFFIC '}  ${object}`,
    `  ${what}`,
    `  next: ${next}`,
    '',
  ]);
  const unread = unreadable.flatMap((resource) => [
    `NOT READ  ${resource}`,
    '  listing them is forbidden to whom this runs as',
    `  next: kubectl -n ${namespace} get ${resource}, or run this with a kubeconfig that may; in the cluster, with waypoint.enabled=true`,
    '',
  ]);
  return [...lines, ...unread, peers].join('\n');
}
