/** What a waypoint does with requests that no route is for: they go where their connections asked to. */
import type { Cluster } from '../ir/backend.ts';
import { waypointChain } from '../ir/names.ts';
import type { ObjectRef } from '../ir/object-ref.ts';
import type { RetryPolicy, RoutePolicies } from '../ir/policy.ts';
import type { NamedMatch, RouteRule } from '../ir/route.ts';
import type { Collection, Ctx, Index } from '../krt/index.ts';
import { attachmentsIn, listenerLevels } from '../policy/attachment.ts';
import type { Policy } from '../policy/plugin.ts';
import { effectivePolicies, withOwnPolicies } from '../policy/trafficpolicy/trafficpolicy.ts';
import type { GatewayView } from './gateway.ts';
import { replacedBody } from './route-rule.ts';

/** What the default of a place depends on. */
export interface DefaultRuleInputs {
  readonly gateways: Collection<GatewayView>;
  readonly policies: Collection<Policy<RoutePolicies>>;
  readonly policiesByTarget: Index<Policy<RoutePolicies>>;
}

/** Where requests ask to go. */
export interface DefaultPlace {
  readonly scope: string;
  readonly chain: string;
  readonly port: number;
  readonly origin: ObjectRef;
  readonly cluster: Pick<Cluster, 'name'> & Partial<Cluster>;
}

/** The name that a request or connection asks for is where it goes. */
export function isByName({ cluster }: Pick<DefaultPlace, 'cluster'>): boolean {
  return cluster.discovery?.from === 'host';
}

/** The port behind a name, where it is another one than clients ask for. */
export function portBehind({ cluster: { discovery } }: Pick<DefaultPlace, 'cluster'>): number | undefined {
  return discovery?.from === 'host' ? discovery.port : undefined;
}

/** What is safe to repeat: the request has not reached anyone. An address that another Pod has by now is met with exactly that. */
const defaultRetry: RetryPolicy = { retryOn: ['reset-before-request', 'connect-failure'], statusCodes: [], attempts: 2, backoffBaseMs: 25 };

/** Forwards everything to the Service, with the policies of the waypoint. */
export function defaultRule(ctx: Ctx, inputs: DefaultRuleInputs, place: DefaultPlace): RouteRule {
  const gateway = ctx.fetchOne(inputs.gateways, place.scope);
  const attachments = attachmentsIn(ctx, inputs.policies, inputs.policiesByTarget);
  const listener = gateway?.listeners.find((l) => l.chain === waypointChain);
  const levels = gateway ? listenerLevels(attachments, { ref: gateway.ref, labels: gateway.objectLabels }, listener?.name) : [];
  const effective = effectivePolicies(levels);
  const rule = {
    name: place.chain,
    origin: place.origin,
    matches: [{ path: { type: 'prefix', value: '/' }, headers: isByName(place) ? [authorityOf(place)] : [], queryParams: [] }],
  } as const;
  if (effective.invalid.length > 0) return { ...rule, action: { type: 'direct', status: 500, body: replacedBody }, policies: {} };
  return {
    ...rule,
    action: { type: 'forward', backends: [{ cluster: place.cluster.name, weight: 1 }], mirrors: [] },
    policies: { retry: defaultRetry, ...withOwnPolicies({}, effective.policies) },
  };
}

/**
 * Where the name is the destination, so is the port behind it: only that of the service, which a request need not name if it is the usual one.
 */
function authorityOf(place: DefaultPlace): NamedMatch {
  const { port, cluster } = place;
  // Its chain takes the port away.
  if (portBehind(place) !== undefined) return { name: ':authority', value: { type: 'regex', value: '[^:]+' } };
  const usual = port === (cluster.tls ? 443 : 80);
  return { name: ':authority', value: { type: 'regex', value: `[^:]+${usual ? `(:${port})?` : `:${port}`}` } };
}
