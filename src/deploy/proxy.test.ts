import { createHash } from 'node:crypto';
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import type { ConfigMap, Deployment, HorizontalPodAutoscaler, PodDisruptionBudget, Service, ServiceAccount } from '../kube/types/core.ts';
import { bootstrapHashAnnotation } from './pod.ts';
import { fullNameAnnotation, proxyName, selectorOf } from './proxy-deployment.ts';
import type { ProxyDeployment } from './proxy-deployment.ts';
import { proxyManifests } from './proxy.ts';

const settings: ProxyDeployment['settings'] = {
  version: '1.2.3',
  xds: { host: 'kgateway.kgateway-system.svc', port: 9977, caCertificate: 'PEM', auth: true },
  image: { registry: 'ghcr.io/kgateway-ts', repository: 'envoy', tag: '1.40.0', pullPolicy: 'IfNotPresent' },
  identity: {
    image: 'ghcr.io/kgateway-ts/kgateway:0.1.0',
    pullPolicy: 'IfNotPresent',
    caAddress: 'istiod.istio-system.svc:15012',
    clusterId: 'Kubernetes',
  },
  bindIPv6: true,
};
const base: ProxyDeployment = {
  gateway: { namespace: 'demo', name: 'edge', uid: 'u1', className: 'kgateway' },
  role: 'ingress',
  ports: [{ port: 80, protocol: 'TCP' }],
  parameters: {},
  settings,
};

interface Kinds {
  readonly ServiceAccount: ServiceAccount;
  readonly ConfigMap: ConfigMap;
  readonly Service: Service;
  readonly Deployment: Deployment;
  readonly HorizontalPodAutoscaler: HorizontalPodAutoscaler;
  readonly PodDisruptionBudget: PodDisruptionBudget;
}
function made(input: Partial<ProxyDeployment> = {}): Partial<Kinds> {
  return Object.fromEntries(proxyManifests({ ...base, ...input }).map((o) => [o.kind, o]));
}
const withParameters = (parameters: ProxyDeployment['parameters']) => made({ parameters });
const podOf = (m: Partial<Kinds>) => m.Deployment!.spec.template;
const containerOf = (m: Partial<Kinds>) => podOf(m).spec.containers[0]!;
const bootstrapOf = (m: Partial<Kinds>) => load(m.ConfigMap!.data!['envoy.yaml']!) as never as Record<string, unknown>;

describe('name', () => {
  const long = `${'a'.repeat(62)}.${'b'.repeat(190)}`;
  test.each([
    ['a Service may have stays', 'edge', 'edge'],
    ['of 63 characters stays', 'a'.repeat(63), 'a'.repeat(63)],
    ['of 64 is cut', 'a'.repeat(64), `${'a'.repeat(50)}-${createHash('sha256').update('a'.repeat(64)).digest('hex').slice(0, 12)}`],
    ['of 253 is cut', long, `${'a'.repeat(50)}-${createHash('sha256').update(long).digest('hex').slice(0, 12)}`],
  ])('%s', (_case, gateway, want) => {
    expect(proxyName(gateway)).toBe(want);
  });

  test.each(['a.b', '1st', long, `${'a-'.repeat(31)}aa`])('of %s can name a Service', (gateway) => {
    expect(proxyName(gateway)).toMatch(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);
  });

  test('names that look alike stay apart', () => {
    expect(proxyName('a.b')).not.toBe(proxyName('a-b'));
  });

  test('that was cut is kept in full on the Pods', () => {
    const m = made({ gateway: { ...base.gateway, name: long } });
    expect(podOf(m).metadata?.annotations?.[fullNameAnnotation]).toBe(long);
    expect(podOf(made()).metadata?.annotations).not.toHaveProperty([fullNameAnnotation]);
    for (const value of Object.values(podOf(m).metadata?.labels ?? {})) expect(value.length).toBeLessThanOrEqual(63);
    expect(bootstrapOf(m)).toMatchObject({ node: { metadata: { role: `kgateway-kube-gateway-api~demo~${long}` } } });
  });
});

describe('every object', () => {
  test('belongs to the Gateway and bears the labels of kgateway', () => {
    const objects = proxyManifests(base);
    expect(objects.map((o) => o.kind)).toEqual(['ServiceAccount', 'ConfigMap', 'Service', 'Deployment']);
    for (const { metadata } of objects) {
      expect(metadata).toMatchObject({
        name: 'edge',
        namespace: 'demo',
        ownerReferences: [{ kind: 'Gateway', name: 'edge', uid: 'u1', controller: true }],
      });
      expect(metadata.labels).toMatchObject({
        ...selectorOf('edge'),
        'app.kubernetes.io/component': 'proxy',
        'app.kubernetes.io/managed-by': 'kgateway',
        'app.kubernetes.io/version': '1.2.3',
        'gateway.networking.k8s.io/gateway-class-name': 'kgateway',
        kgateway: 'kube-gateway',
      });
    }
  });

  test('and every Pod has the labels and annotations of spec.infrastructure, which never replace ours', () => {
    const m = made({ labels: { team: 'a', 'app.kubernetes.io/instance': 'x' }, annotations: { note: 'b' } });
    const all = [...Object.values(m).map((o) => o.metadata), podOf(m).metadata];
    for (const metadata of all) {
      expect(metadata?.labels).toMatchObject({ team: 'a', 'app.kubernetes.io/instance': 'edge' });
      expect(metadata?.annotations).toMatchObject({ note: 'b' });
    }
  });
});

describe('Service', () => {
  test('offers each port and protocol once', () => {
    const { Service } = made({
      ports: [
        { port: 443, protocol: 'TCP' },
        { port: 80, protocol: 'TCP' },
        { port: 443, protocol: 'UDP' },
        { port: 80, protocol: 'TCP' },
      ],
    });
    expect(Service?.spec.ports).toEqual([
      { name: 'listener-80', port: 80, targetPort: 80, protocol: 'TCP' },
      { name: 'listener-443', port: 443, targetPort: 443, protocol: 'TCP' },
      { name: 'listener-443-udp', port: 443, targetPort: 443, protocol: 'UDP' },
    ]);
  });

  test('is a LoadBalancer at the first wanted address, and never claims external addresses', () => {
    const { Service } = made({ addresses: ['192.0.2.1', '192.0.2.2'] });
    expect(Service?.spec).toMatchObject({ type: 'LoadBalancer', loadBalancerIP: '192.0.2.1' });
    expect(Service?.spec).not.toHaveProperty('externalIPs');
  });

  test('takes the parameters that its type allows', () => {
    const service = {
      externalTrafficPolicy: 'Local',
      loadBalancerClass: 'c',
      loadBalancerSourceRanges: ['192.0.2.0/24'],
      ports: [{ port: 80, nodePort: 30_080 }],
    } as const;
    expect(
      withParameters({ service: { ...service, ports: [...service.ports], loadBalancerSourceRanges: ['192.0.2.0/24'] } }).Service?.spec,
    ).toMatchObject({
      externalTrafficPolicy: 'Local',
      loadBalancerClass: 'c',
      ports: [{ port: 80, nodePort: 30_080 }],
    });
    const internal = withParameters({
      service: { type: 'ClusterIP', clusterIP: '10.96.0.99', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30_080 }] },
    });
    expect(internal.Service?.spec).toEqual({
      type: 'ClusterIP',
      clusterIP: '10.96.0.99',
      selector: selectorOf('edge'),
      ports: [{ name: 'listener-80', port: 80, targetPort: 80, protocol: 'TCP' }],
    });
  });

  test('does not exist without a port', () => {
    expect(made({ ports: [] }).Service).toBeUndefined();
  });

  test('of a waypoint is internal and has the HBONE port', () => {
    const m = made({ role: 'waypoint', ports: [{ port: 15_088, protocol: 'TCP' }] });
    expect(m.Service?.spec.type).toBe('ClusterIP');
    expect(m.Service?.spec.ports?.map((p) => p.port)).toEqual([15_008]);
    expect(m.Service?.metadata.labels).toMatchObject({ 'istio.io/use-waypoint': 'none' });
    expect(m.Deployment?.spec.replicas).toBe(2);
    expect(m.PodDisruptionBudget?.spec).toMatchObject({ maxUnavailable: 1 });
    expect(podOf(m).metadata).toMatchObject({
      labels: { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'none', 'gateway.networking.k8s.io/gateway-name': 'edge' },
      annotations: { 'ambient.istio.io/dns-capture': 'false' },
    });
  });
});

describe('Pod', () => {
  test('runs Envoy with no rights at all', () => {
    const pod = podOf(made()).spec;
    expect(pod).toMatchObject({
      serviceAccountName: 'edge',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 60,
      securityContext: {
        seccompProfile: { type: 'RuntimeDefault' },
        sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }],
      },
    });
    expect(pod.containers[0]).toMatchObject({
      name: 'kgateway-proxy',
      image: 'ghcr.io/kgateway-ts/envoy:1.40.0',
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        runAsUser: 10_101,
      },
    });
  });

  test('is the same whatever the listeners are: one that comes or goes replaces no proxy', () => {
    const ports = [{ port: 8080, protocol: 'TCP' as const }];
    expect(podOf(made({ ports }))).toEqual(podOf(made()));
  });

  test('has no security context of ours when that is asked for, but the user’s', () => {
    const m = withParameters({ omitDefaultSecurityContext: true, envoyContainer: { securityContext: { runAsUser: 1 } } });
    expect(podOf(m).spec.securityContext).toBeUndefined();
    expect(containerOf(m).securityContext).toEqual({ runAsUser: 1 });
  });

  test('proves itself with a token for our audience alone', () => {
    const sources = podOf(made()).spec.volumes?.find((v) => v.name === 'xds-token')?.projected?.sources;
    expect(sources).toEqual([{ serviceAccountToken: { path: 'xds-token', audience: 'kgateway', expirationSeconds: 3600 } }]);
    const open = made({ settings: { ...settings, xds: { ...settings.xds, auth: false } } });
    expect(podOf(open).spec.volumes?.map((v) => v.name)).toEqual(['envoy-config']);
  });

  test('is replaced when its bootstrap changes, not for a new CA or controller', () => {
    const hash = (m: Partial<Kinds>) => podOf(m).metadata?.annotations?.[bootstrapHashAnnotation];
    const renewed = made({ settings: { ...settings, version: '9', xds: { ...settings.xds, caCertificate: 'OTHER' } } });
    expect(podOf(renewed)).toEqual(podOf(made()));
    expect(renewed.ConfigMap?.data?.['ca.crt']).toBe('OTHER');
    expect(hash(made({ settings: { ...settings, xds: { ...settings.xds, port: 1 } } }))).not.toBe(hash(made()));
  });

  test('drains before it ends, within its grace period', () => {
    const drainDelay = (p: ProxyDeployment['parameters']) =>
      /fixed_delay: (\S+)/.exec(withParameters(p).ConfigMap?.data?.['drain.yaml'] ?? '')?.[1];
    expect(containerOf(made()).lifecycle?.preStop?.exec?.command.slice(0, 3)).toEqual(['envoy', '-c', '/etc/envoy/drain.yaml']);
    expect(drainDelay({})).toBe('10s');
    expect(drainDelay({ podTemplate: { gracefulShutdown: { sleepTimeSeconds: 25 } } })).toBe('25s');
    expect(drainDelay({ podTemplate: { gracefulShutdown: { sleepTimeSeconds: 25 }, terminationGracePeriodSeconds: 20 } })).toBe('15s');
    const off = withParameters({ podTemplate: { gracefulShutdown: { enabled: false } } });
    expect(containerOf(off)).not.toHaveProperty('lifecycle');
    expect(off.ConfigMap?.data).not.toHaveProperty(['drain.yaml']);
  });

  test('takes the parameters of the user', () => {
    const toleration = { key: 'edge', operator: 'Exists' };
    const m = withParameters({
      podTemplate: {
        extraLabels: { team: 'a' },
        extraAnnotations: { note: 'b' },
        nodeSelector: { zone: 'z' },
        tolerations: [toleration],
        topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }],
        priorityClassName: 'high',
        imagePullSecrets: [{ name: 's' }],
        extraVolumes: [{ name: 'v', emptyDir: {} }],
      },
      envoyContainer: {
        bootstrap: { logLevel: 'debug', componentLogLevels: { upstream: 'trace', http: 'info' } },
        image: { registry: 'example.com', digest: 'sha256:0', tag: 'ignored', pullPolicy: 'Never' },
        resources: { requests: { cpu: '1' } },
        env: [{ name: 'POD_NAME', value: 'mine' }],
        extraVolumeMounts: [{ name: 'v', mountPath: '/v' }],
        extraArgs: ['--concurrency', '2'],
      },
    });
    expect(podOf(m)).toMatchObject({
      metadata: { labels: { team: 'a' }, annotations: { note: 'b' } },
      spec: {
        nodeSelector: { zone: 'z' },
        tolerations: [toleration],
        topologySpreadConstraints: [{ maxSkew: 1, labelSelector: { matchLabels: selectorOf('edge') } }],
        priorityClassName: 'high',
        imagePullSecrets: [{ name: 's' }],
      },
    });
    expect(podOf(m).spec.volumes?.map((v) => v.name)).toEqual(['envoy-config', 'xds-token', 'v']);
    expect(containerOf(m)).toMatchObject({
      image: 'example.com/envoy@sha256:0',
      imagePullPolicy: 'Never',
      resources: { requests: { cpu: '1' } },
    });
    expect(containerOf(m).args?.join(' ')).toMatch(/--log-level debug --component-log-level http:info,upstream:trace --concurrency 2$/);
    expect(containerOf(m).env?.filter((e) => e.name === 'POD_NAME')).toEqual([{ name: 'POD_NAME', value: 'mine' }]);
    expect(containerOf(m).volumeMounts?.map((v) => v.mountPath)).toContain('/v');
  });

  test('serves no metrics when they are off', () => {
    const m = withParameters({ stats: { enabled: false } });
    expect(JSON.stringify([podOf(m), m.ConfigMap])).not.toMatch(/prometheus|9091/);
  });
});

describe('a waypoint that ends HBONE', () => {
  const m = made({ role: 'waypoint', hbone: true });
  const { spec, metadata } = podOf(m);

  test('is not captured, and says that it takes HBONE', () => {
    expect(metadata?.labels).toMatchObject({
      'istio.io/dataplane-mode': 'none',
      'networking.istio.io/tunnel': 'http',
      'istio.io/use-waypoint': 'none',
    });
    expect(m.Service?.spec.ports).toMatchObject([{ port: 15_008, targetPort: 15_008 }]);
  });

  test('has an agent that Envoy waits for, and that alone may write its certificate', () => {
    const [agent] = spec.initContainers ?? [];
    expect(agent).toMatchObject({
      image: settings.identity.image,
      args: ['agent'],
      restartPolicy: 'Always',
      startupProbe: { httpGet: { port: 15_021 } },
      securityContext: { runAsNonRoot: true },
    });
    const folder = agent?.volumeMounts?.find((v) => v.name === 'workload-identity');
    expect(folder).not.toHaveProperty('readOnly');
    expect(spec.containers[0]?.volumeMounts).toContainEqual({ ...folder, readOnly: true });
    expect(spec.volumes).toContainEqual({ name: 'workload-identity', emptyDir: { medium: 'Memory' } });
    expect(JSON.stringify(spec.volumes)).toContain('"audience":"istio-ca"');
  });

  test('takes the parameters of its agent', () => {
    const resources = { requests: { memory: '64Mi' } };
    const parameters = { sdsContainer: { resources, bootstrap: { logLevel: 'debug' as const }, securityContext: { runAsUser: 7 } } };
    const [agent] = podOf(made({ role: 'waypoint', hbone: true, parameters })).spec.initContainers ?? [];
    expect(agent).toMatchObject({ resources, securityContext: { runAsUser: 7, runAsNonRoot: true } });
    expect(agent?.env).toContainEqual({ name: 'KGW_LOG_LEVEL', value: 'debug' });
  });

  test('has nothing of that when ztunnel ends HBONE', () => {
    const sandwich = made({ role: 'waypoint' });
    expect(podOf(sandwich).spec).not.toHaveProperty('initContainers');
    expect(podOf(sandwich).metadata?.labels).toMatchObject({ 'istio.io/dataplane-mode': 'ambient' });
  });
});

describe('replicas', () => {
  test.each<[string, ProxyDeployment['parameters'], number | undefined]>([
    ['are left alone when nobody gives a number', {}, undefined],
    ['are kept', { deployment: { replicas: 3 } }, 3],
    ['may be zero', { deployment: { replicas: 0 } }, 0],
    [
      'belong to the autoscaler where there is one',
      { deployment: { replicas: 3 }, horizontalPodAutoscaler: { spec: { maxReplicas: 5 } } },
      undefined,
    ],
  ])('%s', (_case, parameters, want) => {
    expect(withParameters(parameters).Deployment?.spec.replicas).toBe(want);
  });
});

describe('on request', () => {
  test('an autoscaler of the Deployment', () => {
    const { HorizontalPodAutoscaler } = withParameters({
      horizontalPodAutoscaler: { metadata: { labels: { a: 'b' } }, spec: { minReplicas: 2, maxReplicas: 5 } },
    });
    expect(HorizontalPodAutoscaler).toMatchObject({
      metadata: { name: 'edge', labels: { a: 'b' } },
      spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'edge' }, minReplicas: 2, maxReplicas: 5 },
    });
  });

  test('a disruption budget of the Pods', () => {
    const { PodDisruptionBudget } = withParameters({ podDisruptionBudget: { spec: { minAvailable: 1 } } });
    expect(PodDisruptionBudget?.spec).toEqual({ minAvailable: 1, selector: { matchLabels: selectorOf('edge') } });
  });
});

test('the same input gives the same bytes', () => {
  expect(JSON.stringify(proxyManifests(base))).toBe(JSON.stringify(proxyManifests(structuredClone(base))));
});
