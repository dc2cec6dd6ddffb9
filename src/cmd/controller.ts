/**
 * `kgateway controller`: in a cluster.
 *
 *   API server ─watches─> Sources ─> wiring ─> xDS server ─> proxies
 *                                       └─> statuses, manifests ─by the leader─> API server
 */
import { hostname } from 'node:os';
import { gatewayManifests, proxyAddresses, settingsKey } from './proxies.ts';
import { type ProxySettings, proxyName } from '../deploy/proxy-deployment.ts';
import { tokenAudience } from '../deploy/pod.ts';
import type { Place } from '../ir/backend.ts';
import { Graph, type Source, source } from '../krt/index.ts';
import { type KubeClient, kubeClient } from '../kube/client.ts';
import { tokenVerifier } from '../kube/tokenreview.ts';
import type { Node } from '../kube/types/core.ts';
import { type Authenticate, authenticator } from '../xds/authentication.ts';
import { startXdsServer } from '../xds/server.ts';
import { createResourceStore } from '../xds/store.ts';
import { debugRoutes, healthRoutes, serve } from './admin.ts';
import { desiredStatuses } from './desired-status.ts';
import { placeOfNode } from './endpoint-places.ts';
import { logIngressProblems } from './ingress-gateways.ts';
import { fetchJwks } from './jwks.ts';
import { runLeader } from './leader.ts';
import type { Logger } from './log.ts';
import { createMetrics, observe } from './metrics.ts';
import { objectSources } from './object-sources.ts';
import type { Settings } from './settings.ts';
import { createSources } from './sources.ts';
import { version } from './version.ts';
import { startWatches } from './watches.ts';
import { wire } from './wiring.ts';
import { CurrentCertificate, ensureCertificate } from './xds-certificate.ts';

export interface ControllerOptions {
  readonly settings: Settings;
  readonly log: Logger;
  /** Default: the Pod's ServiceAccount, or the kubeconfig of the environment. */
  readonly client?: KubeClient;
}

export interface Controller {
  readonly xdsPort: number;
  /** Resolves when the first configuration was computed. */
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

const certificateCheckMs = 12 * 3_600_000;

/** Starts the controller. Rejects when the API server cannot be reached or a port is taken. */
export async function runController({ settings, log, ...o }: ControllerOptions): Promise<Controller> {
  const client = o.client ?? (await kubeClient({ userAgent: `kgateway/${version}` }));
  const metrics = createMetrics();
  const flushDuration = metrics.histogram('kgateway_flush_duration_seconds');
  const graph = new Graph({
    schedule: (flush) =>
      void setImmediate(() => {
        const end = flushDuration.startTimer();
        flush();
        end();
      }),
    onError: (collection, key, error) =>
      log.error({ collection, key, err: error }, 'a transform failed: this is a bug; its last good output stays'),
  });
  const sources = createSources(graph);
  const proxySettings = source<{ readonly settings: ProxySettings }>(graph, { name: 'ProxySettings', key: () => settingsKey });
  proxySettings.markSynced();

  const listenAddress = settings.listenerBindIpv6 ? '::' : '0.0.0.0';
  const wiring = wire(graph, sources, {
    istioNamespace: settings.istioNamespace,
    weightedRoutes: settings.weightedRoutes,
    delegationWildcardNamespace: settings.delegationWildcardNamespace,
    bind: (l) => ({ address: listenAddress, port: l.port }),
    waypoints: settings.enableWaypoint,
    inference: settings.enableInference,
    namespace: settings.namespace,
    addresses: (gateways) =>
      proxyAddresses(graph, { ...sources, objects: sources.gateways, gateways, parameters: sources.gatewayParameters }),
  });
  const manifests = gatewayManifests(graph, {
    gateways: wiring.api.gateways,
    parameters: sources.gatewayParameters,
    settings: proxySettings,
  });
  const statuses = desiredStatuses(graph, wiring.statuses);

  const host = settings.xdsServiceHost || `${settings.xdsServiceName}.${settings.namespace}.svc`;
  const names = [host, settings.xdsServiceName, `${settings.xdsServiceName}.${settings.namespace}`, `${host}.cluster.local`];
  const certificate = settings.xdsTls
    ? new CurrentCertificate(await ensureCertificate(client, settings.namespace, names, Date.now()))
    : undefined;
  const announce = (): void => proxySettings.set({ settings: proxySettingsOf(settings, host, certificate?.current().ca) });
  announce();

  logIngressProblems(wiring.ingressProblems, log);
  const watches = startWatches(
    client,
    sources,
    { ...wiring.wanted, pods: wiring.api.wantedPods },
    { waypoints: settings.enableWaypoint, inference: settings.enableInference, log },
  );
  const jwks = fetchJwks(wiring.wantedJwks, sources.jwks, { log });
  let waitingFor: string | undefined = 'the API server';
  const ready = (async () => {
    await graph.whenSynced();
    waitingFor = 'referenced Secrets and ConfigMaps';
    await watches.settled();
    waitingFor = 'keys of token issuers';
    while (graph.dirty) graph.flush();
    await jwks.settled();
    // What was just read is in the sources; proxies are told after it has been through the graph.
    while (graph.dirty) graph.flush();
    waitingFor = undefined;
    log.info({ version }, 'ready');
  })();

  const store = createResourceStore(wiring.resources);
  const xds = await startXdsServer({
    address: `${settings.xdsTls ? settings.xdsBindAddress : '127.0.0.1'}:${settings.xdsServicePort}`,
    ...(certificate && { tls: certificate }),
    ...(settings.xdsAuth && { authenticate: proxyAuthentication(client) }),
    placeOf: (identity) => placeOf(sources.nodes, identity?.node),
    store,
    ready: () => ready,
    proxies: sources.proxies,
    rejections: sources.rejections,
    on: metrics.xds,
    log,
  });

  const byKind = objectSources(sources);
  const lead = ready.then(() =>
    runLeader({
      client,
      settings,
      identity: settings.podName || hostname(),
      statuses,
      current: (kind, key) => byKind[kind]?.get(key),
      manifests,
      deployProblems: sources.deployProblems,
      ingressGateways: wiring.ingressGateways,
      gateways: sources.gateways,
      observed: [sources.services as unknown as (typeof byKind)[string]],
      log,
    }),
  );
  const leading = { leader: undefined as Awaited<typeof lead> | undefined };
  void lead.then((leader) => (leading.leader = leader));

  const servers = await Promise.all([
    serve(
      settings.healthBindAddress,
      settings.healthPort,
      healthRoutes(() => waitingFor),
    ),
    serve(settings.metricsBindAddress, settings.metricsPort, {
      '/metrics': async () => {
        observe(metrics, {
          graph,
          reflectors: watches.reflectors,
          rejections: () => sources.rejections.list(),
          ingressProblems: () => wiring.ingressProblems.size,
          statuses: () => leading.leader?.statuses(),
          leading: () => leading.leader?.leading() ?? false,
        });
        return { type: metrics.registry.contentType, body: await metrics.registry.metrics() };
      },
    }),
    serve(settings.adminBindAddress, settings.adminPort, debugRoutes({ graph, proxies: () => xds.debug(), log, version })),
  ]);
  const renewal = setInterval(() => void renew(), certificateCheckMs);
  renewal.unref();

  return {
    xdsPort: xds.port,
    ready,
    stop: async () => {
      clearInterval(renewal);
      await leading.leader?.stop();
      await xds.close();
      jwks.stop();
      await watches.stop();
      for (const server of servers) server.close();
      await client.close();
    },
  };

  async function renew(): Promise<void> {
    if (!certificate) return;
    try {
      certificate.replace(await ensureCertificate(client, settings.namespace, names, Date.now()));
      announce();
    } catch (error) {
      log.error({ err: error }, 'the certificate of the xDS server could not be renewed; the current one stays in use');
    }
  }
}

/** The token of a proxy is that of its own ServiceAccount, which has the name of everything else of the proxy. */
function proxyAuthentication(client: KubeClient): Authenticate {
  const verifier = tokenVerifier(client, { audience: tokenAudience });
  return authenticator(
    async (token) => {
      const result = await verifier(token);
      if ('serviceAccount' in result) return result;
      if (result.retry) throw new Error(result.reason);
      return { error: result.reason };
    },
    (scope) => {
      const [namespace = '', name = ''] = scope.split('/');
      return { namespace, serviceAccount: proxyName(name) };
    },
  );
}

function placeOf(nodes: Source<Node>, name: string | undefined): Place {
  if (name === undefined) return {};
  const node = nodes.get(name);
  return { node: name, ...(node && placeOfNode(node)) };
}

function proxySettingsOf(settings: Settings, host: string, ca: string | undefined): ProxySettings {
  return {
    version,
    xds: { host, port: settings.xdsServicePort, ...(ca !== undefined && { caCertificate: ca }), auth: settings.xdsAuth },
    image: {
      registry: settings.imageRegistry,
      repository: settings.imageRepository,
      tag: settings.imageTag,
      pullPolicy: settings.imagePullPolicy as ProxySettings['image']['pullPolicy'],
    },
    identity: {
      image: settings.agentImage,
      pullPolicy: settings.imagePullPolicy as ProxySettings['image']['pullPolicy'],
      caAddress: settings.istioCaAddress || `istiod.${settings.istioNamespace}.svc:15012`,
      clusterId: settings.istioClusterId,
    },
    bindIPv6: settings.listenerBindIpv6,
  };
}
