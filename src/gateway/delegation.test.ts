import { expect, test } from 'vitest';
import { translateYaml } from '../cmd/golden.ts';
import type { HTTPRoute } from '../kube/types/gateway-api.ts';
import { TypeUrl } from '../xds/resource.ts';
import { delegationFacts, everyNamespace } from './delegation.ts';

const base = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: kgateway }
spec: { controllerName: kgateway.dev/kgateway }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: gw }
spec: { gatewayClassName: kgateway, listeners: [{ name: http, protocol: HTTP, port: 80, allowedRoutes: { namespaces: { from: All } } }] }
`;

const route = (namespace: string, name: string, spec: string): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { namespace: ${namespace}, name: ${name} }
spec: { ${spec} }
`;

const delegating = (target: string, namespace: string): string =>
  `rules: [{ matches: [{ path: { value: / } }], backendRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: '${target}', namespace: ${namespace} }] }]`;

/** Names of routes that proxies have, of all hosts. */
function served(yaml: string): string {
  const { resources } = translateYaml(yaml);
  return resources
    .filter((r) => r.type === TypeUrl.scopedRoute)
    .map((r) => Buffer.from(r.bytes).toString('latin1'))
    .join();
}

test('parents of others do not keep a child from the ways of its own', () => {
  const many = Array.from({ length: 40 }, (_, i) => route('a-other', `p${i}`, delegating('*', 'team') + ', hostnames: [none.example.com]'));
  const circle = Array.from({ length: 40 }, (_, i) => route('a-circle', `c${i}`, delegating('*', 'a-circle')));
  const intoTeam = route('a-circle', 'into', delegating('*', 'team'));
  const own =
    route(
      'infra',
      'root',
      `parentRefs: [{ name: gw, namespace: default }], hostnames: [team.example.com], ${delegating('middle', 'infra')}`,
    ) + route('infra', 'middle', delegating('child', 'team'));
  const child = route('team', 'child', 'rules: [{ matches: [{ path: { value: /a } }] }]');
  expect(served([base, ...many, ...circle, intoTeam, own, child].join(''))).toContain(
    'httproute/team/child/0@httproute/infra/middle/0@httproute/infra/root/0',
  );
});

test('routes in a circle without a way to a Gateway serve nothing, and nothing is said of them', () => {
  const { statuses } = translateYaml(
    base + route('default', 'a', delegating('b', 'default')) + route('default', 'b', delegating('a', 'default')),
  );
  const entries = statuses.flatMap((s) => (s.form === 'parents' ? s.entries : []));
  expect(entries).toEqual([]);
});

test('the namespace that means every namespace can be called otherwise', () => {
  const parent = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { namespace: 'infra', name: 'parent' },
    spec: {
      rules: [
        {
          backendRefs: ['all', 'every', undefined].map((namespace) => ({
            group: 'delegation.kgateway.dev',
            kind: 'label',
            name: 'x',
            ...(namespace !== undefined && { namespace }),
          })),
        },
      ],
    },
  } as HTTPRoute;
  const selectors = (every: string) => delegationFacts(parent, every).refs.map((r) => r.selector);
  expect(selectors(everyNamespace)).toEqual(['label/*/x', 'label/every/x', 'label/infra/x']);
  expect(selectors('every')).toEqual(['label/all/x', 'label/*/x', 'label/infra/x']);
});
