// Brings the manifests of the Gateways into the cluster, by the leader alone.
//   [GatewayManifests] -> applier -> server-side apply;  what went wrong -> Source<DeployProblem> -> status of the Gateway
// It never deletes because something is missing from its input: a Gateway's objects go with the Gateway, by their owner references.
import { createHash } from 'node:crypto';
import type { KubeClient } from '../kube/client.ts';
import { Deployments, HorizontalPodAutoscalers, PodDisruptionBudgets, resourceOf } from '../kube/resources.ts';
import type { Resource } from '../kube/resources.ts';
import type { Deployment } from '../kube/types/core.ts';
import type { KubeObject } from '../kube/types/meta.ts';
import { groupOf, keyOf } from '../kube/types/meta.ts';
import { workQueue } from '../kube/work-queue.ts';
import type { Collection, Source } from '../krt/index.ts';

/** What is to exist for a Gateway. Invalid parameters: the transform keeps its last output, so that what runs is left as it is. */
export interface GatewayManifests {
  /** `namespace/name` of the Gateway. */
  readonly key: string;
  readonly uid: string;
  /** In the order in which to apply them; all in the namespace of the Gateway. */
  readonly objects: readonly KubeObject[];
}

/** Why a Gateway's proxy is not as it is to be; gone when it is. */
export interface DeployProblem {
  /** `namespace/name` of the Gateway. */
  readonly gateway: string;
  /** `Kind name` of the object that could not be applied. */
  readonly object: string;
  /** For people, with the next step. */
  readonly message: string;
}

/** The field manager of everything that the controller applies; kgateway's own, so that its objects are taken over without a conflict. */
export const fieldManager = 'kgateway.dev/kgateway';

/** Kinds that exist only on request, and are deleted when the request ends. */
const optionalKinds: readonly Resource[] = [HorizontalPodAutoscalers, PodDisruptionBudgets];

export interface ApplierOptions {
  readonly manifests: Collection<GatewayManifests>;
  readonly problems: Source<DeployProblem>;
  readonly client: Pick<KubeClient, 'get' | 'apply' | 'delete'>;
  /** Watched objects of the kinds that are applied: when one of ours is deleted it is made again. */
  readonly observed?: readonly Collection<KubeObject>[];
  /** Milliseconds before a failed Gateway is tried again: about `first`, then growing up to `max`. Default 1 s and 1 min. */
  readonly backoff?: { readonly first: number; readonly max: number };
}

/** What is to be and what is. Objects are known by hash, so an unchanged one costs nothing. */
interface Proxy {
  desired: GatewayManifests;
  /** Hash of each object as last applied, by `idOf`. */
  readonly applied: Map<string, string>;
  /** False until the optional objects of a former leader were looked for. */
  swept: boolean;
  /** What is being applied: where a failure belongs. */
  current: string;
}

/** Starts applying; to be called on winning the leadership. Disposing stops it: calls under way end, no more begin. */
export function startApplier(o: ApplierOptions): AsyncDisposable {
  const proxies = new Map<string, Proxy>();
  let stopped = false;

  const bringAbout = async (key: string): Promise<void> => {
    const proxy = proxies.get(key);
    if (!proxy) return;
    for (const object of proxy.desired.objects) {
      if (stopped || proxies.get(key) !== proxy) return;
      proxy.current = idOf(object);
      await applyIfChanged(o.client, proxy, object);
    }
    await removeUnwanted(o.client, proxy);
    if (proxies.get(key) === proxy) o.problems.delete(key);
  };

  const queue = workQueue(bringAbout, {
    concurrency: 4,
    rate: 20,
    burst: 50,
    backoff: o.backoff ?? { first: 1000, max: 60_000 },
    onError: (key, error) => {
      const proxy = proxies.get(key);
      if (stopped || !proxy) return;
      o.problems.set({ gateway: key, object: proxy.current, message: error instanceof Error ? error.message : String(error) });
    },
  });

  const forget = (key: string): void => {
    queue.forget(key);
    proxies.delete(key);
    o.problems.delete(key);
  };

  const manifests = o.manifests.subscribe(
    (events) => {
      for (const event of events) {
        const { key } = event;
        if (event.type === 'delete' || proxies.get(key)?.desired.uid !== event.new.uid) forget(key);
        if (event.type === 'delete') continue;
        const proxy = proxies.get(key);
        if (proxy) proxy.desired = event.new;
        else proxies.set(key, { desired: event.new, applied: new Map(), swept: false, current: '' });
        // New manifests may be what ends the failures: they wait for no backoff.
        queue.forget(key);
        queue.add(key);
      }
    },
    { initial: true },
  );

  const observed = (o.observed ?? []).map((collection) =>
    collection.subscribe((events) => {
      for (const event of events) {
        if (event.type !== 'delete') continue;
        const key = gatewayOf(event.old);
        if (key !== undefined && proxies.get(key)?.applied.delete(idOf(event.old))) queue.add(key);
      }
    }),
  );

  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      manifests[Symbol.dispose]();
      for (const subscription of observed) subscription[Symbol.dispose]();
      await queue.stop();
    },
  };
}

function idOf(o: KubeObject): string {
  return `${o.kind} ${o.metadata.name}`;
}

/** `namespace/name` of the Gateway that owns an object. */
function gatewayOf(o: KubeObject): string | undefined {
  const owner = o.metadata.ownerReferences?.find((r) => r.kind === 'Gateway' && r.controller);
  return owner && `${o.metadata.namespace ?? ''}/${owner.name}`;
}

function resourceOfObject(o: KubeObject): Resource {
  const resource = resourceOf(groupOf(o.apiVersion), o.kind);
  if (!resource) throw new Error(`${o.kind} of ${o.apiVersion} is not in the table of resources: add it to src/kube/resources.ts`);
  return resource;
}

async function applyIfChanged(client: ApplierOptions['client'], proxy: Proxy, object: KubeObject): Promise<void> {
  const id = idOf(object);
  const hash = createHash('sha256').update(JSON.stringify(object)).digest('base64');
  const before = proxy.applied.get(id);
  if (before === hash) return;
  const resource = resourceOfObject(object);
  if (before === undefined) await refuseForeign(client, resource, object, proxy.desired);
  // Entered first: when the object is deleted before the answer is here, its entry goes and it is made again.
  proxy.applied.set(id, hash);
  try {
    if (resource.kind === 'Deployment') await handReplicasOver(client, object as Deployment);
    await client.apply(resource, object, { fieldManager, force: true });
  } catch (error) {
    proxy.applied.delete(id);
    throw error;
  }
}

/**
 * A field that is applied no longer goes back to its default, which is one replica: who hands the number over to an autoscaler would lose proxies.
 * So another name of ours keeps the number until somebody changes it.
 */
async function handReplicasOver(client: ApplierOptions['client'], wanted: Deployment): Promise<void> {
  if (wanted.spec.replicas !== undefined) return;
  const there = await client.get(Deployments, keyOf(wanted));
  if (there?.spec.replicas === undefined || !ownsReplicas(there)) return;
  const { apiVersion, kind, metadata, spec } = there;
  const kept = { apiVersion, kind, metadata: { name: metadata.name, namespace: metadata.namespace }, spec: { replicas: spec.replicas } };
  await client.apply(Deployments, kept as KubeObject, { fieldManager: `${fieldManager}-replicas`, force: true });
}

function ownsReplicas({ metadata }: Deployment): boolean {
  type Managed = readonly { readonly manager: string; readonly fieldsV1?: { readonly 'f:spec'?: object } }[];
  const { managedFields = [] } = metadata as { readonly managedFields?: Managed };
  return managedFields.some((m) => m.manager === fieldManager && 'f:replicas' in (m.fieldsV1?.['f:spec'] ?? {}));
}

/** An object of the same name that is not the Gateway's is nobody's to take: its owner would lose it, and its users with it. */
async function refuseForeign(
  client: ApplierOptions['client'],
  resource: Resource,
  object: KubeObject,
  desired: GatewayManifests,
): Promise<void> {
  const there = await client.get(resource, keyOf(object), { metadataOnly: true });
  if (!there || ownedBy(there, desired.uid)) return;
  if (gatewayOf(there) === desired.key)
    throw new Error(
      `${object.kind} ${keyOf(object)} belongs to an earlier Gateway of this name: it is made anew when the garbage collector took it`,
    );
  throw new Error(
    `${object.kind} ${keyOf(object)} exists and does not belong to Gateway ${desired.key}: rename the Gateway, or delete that ${object.kind}`,
  );
}

function ownedBy(o: KubeObject, uid: string): boolean {
  return o.metadata.ownerReferences?.some((r) => r.uid === uid) ?? false;
}

/**
 * Deletes what exists on request and is no longer asked for. The first time it asks the API server, since a former leader may have made it;
 * a user's own object of that name stays.
 */
async function removeUnwanted(client: ApplierOptions['client'], proxy: Proxy): Promise<void> {
  const { objects, uid } = proxy.desired;
  const named = objects[0];
  if (!named) return;
  for (const resource of optionalKinds) {
    const id = `${resource.kind} ${named.metadata.name}`;
    if (objects.some((o) => idOf(o) === id) || (proxy.swept && !proxy.applied.has(id))) continue;
    const there = await client.get(resource, keyOf(named), { metadataOnly: true });
    if (there?.metadata.uid !== undefined && ownedBy(there, uid)) await client.delete(resource, keyOf(named), { uid: there.metadata.uid });
    proxy.applied.delete(id);
  }
  proxy.swept = true;
}
