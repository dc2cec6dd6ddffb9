// Writes gateway-api.ts from the CRDs of the Gateway API's Go module, experimental channel: the types of the storage versions.
//   node src/kube/types/generate.ts           rewrite
//   node src/kube/types/generate.ts --check   fail when a committed file is not what would be written
// Two schemas of the same shape are one type; names are those of the Go types. A shape without a name here stops the run.
// Not json-schema-to-typescript: it knows no readonly, and CRDs need only objects, arrays, maps, enums and scalars.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import type { OpenApiSchema } from '../crd-validation.ts';
import type { CustomResourceDefinition } from './core.ts';

const version = 'v1.6.3';
const typesFile = join(import.meta.dirname, 'gateway-api.ts');

/** The first place where a shape is seen (kinds in alphabetical order) and its name in Go. `meta` ones are not written but imported. */
const names: Readonly<Record<string, string>> = {
  'BackendTLSPolicy.spec.targetRefs[]': 'LocalPolicyTargetReferenceWithSectionName',
  'BackendTLSPolicy.spec.validation': 'BackendTLSPolicyValidation',
  'BackendTLSPolicy.spec.validation.caCertificateRefs[]': 'LocalObjectReference',
  'BackendTLSPolicy.spec.validation.subjectAltNames[]': 'SubjectAltName',
  'BackendTLSPolicy.status': 'PolicyStatus',
  'BackendTLSPolicy.status.ancestors[]': 'PolicyAncestorStatus',
  'BackendTLSPolicy.status.ancestors[].ancestorRef': 'ParentReference',
  'BackendTLSPolicy.status.ancestors[].conditions[]': 'Condition',
  'GRPCRoute.spec.rules[]': 'GRPCRouteRule',
  'GRPCRoute.spec.rules[].backendRefs[]': 'GRPCBackendRef',
  'GRPCRoute.spec.rules[].backendRefs[].filters[]': 'GRPCRouteFilter',
  'GRPCRoute.spec.rules[].backendRefs[].filters[].requestHeaderModifier': 'HTTPHeaderFilter',
  'GRPCRoute.spec.rules[].backendRefs[].filters[].requestHeaderModifier.add[]': 'HTTPHeader',
  'GRPCRoute.spec.rules[].backendRefs[].filters[].requestMirror': 'HTTPRequestMirrorFilter',
  'GRPCRoute.spec.rules[].backendRefs[].filters[].requestMirror.backendRef': 'BackendObjectReference',
  'GRPCRoute.spec.rules[].backendRefs[].filters[].requestMirror.fraction': 'Fraction',
  'GRPCRoute.spec.rules[].matches[]': 'GRPCRouteMatch',
  'GRPCRoute.spec.rules[].matches[].headers[]': 'HTTPHeaderMatch',
  'GRPCRoute.spec.rules[].matches[].method': 'GRPCMethodMatch',
  'GRPCRoute.spec.rules[].sessionPersistence': 'SessionPersistence',
  'GRPCRoute.spec.rules[].sessionPersistence.cookieConfig': 'CookieConfig',
  'GRPCRoute.status': 'RouteStatus',
  'GRPCRoute.status.parents[]': 'RouteParentStatus',
  'Gateway.spec.addresses[]': 'GatewaySpecAddress',
  'Gateway.spec.allowedListeners': 'AllowedListeners',
  'Gateway.spec.allowedListeners.namespaces': 'ListenerNamespaces',
  'Gateway.spec.allowedListeners.namespaces.selector': 'LabelSelector',
  'Gateway.spec.infrastructure': 'GatewayInfrastructure',
  'Gateway.spec.listeners[]': 'Listener',
  'Gateway.spec.listeners[].allowedRoutes': 'AllowedRoutes',
  'Gateway.spec.listeners[].allowedRoutes.kinds[]': 'RouteGroupKind',
  'Gateway.spec.listeners[].allowedRoutes.namespaces': 'RouteNamespaces',
  'Gateway.spec.listeners[].tls': 'ListenerTLSConfig',
  'Gateway.spec.listeners[].tls.certificateRefs[]': 'SecretObjectReference',
  'Gateway.spec.tls': 'GatewayTLSConfig',
  'Gateway.spec.tls.backend': 'GatewayBackendTLS',
  'Gateway.spec.tls.frontend': 'FrontendTLSConfig',
  'Gateway.spec.tls.frontend.default': 'TLSConfig',
  'Gateway.spec.tls.frontend.default.validation': 'FrontendTLSValidation',
  'Gateway.spec.tls.frontend.default.validation.caCertificateRefs[]': 'ObjectReference',
  'Gateway.spec.tls.frontend.perPort[]': 'TLSPortConfig',
  'Gateway.status.addresses[]': 'GatewayStatusAddress',
  'Gateway.status.listeners[]': 'ListenerStatus',
  'GatewayClass.spec.parametersRef': 'ParametersReference',
  'GatewayClass.status.supportedFeatures[]': 'SupportedFeature',
  'HTTPRoute.spec.rules[]': 'HTTPRouteRule',
  'HTTPRoute.spec.rules[].backendRefs[]': 'HTTPBackendRef',
  'HTTPRoute.spec.rules[].backendRefs[].filters[]': 'HTTPRouteFilter',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].cors': 'HTTPCORSFilter',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].externalAuth': 'HTTPExternalAuthFilter',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].externalAuth.forwardBody': 'ForwardBodyConfig',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].externalAuth.grpc': 'GRPCAuthConfig',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].externalAuth.http': 'HTTPAuthConfig',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].requestRedirect': 'HTTPRequestRedirectFilter',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].requestRedirect.path': 'HTTPPathModifier',
  'HTTPRoute.spec.rules[].backendRefs[].filters[].urlRewrite': 'HTTPURLRewriteFilter',
  'HTTPRoute.spec.rules[].matches[]': 'HTTPRouteMatch',
  'HTTPRoute.spec.rules[].matches[].path': 'HTTPPathMatch',
  'HTTPRoute.spec.rules[].retry': 'HTTPRouteRetry',
  'HTTPRoute.spec.rules[].timeouts': 'HTTPRouteTimeouts',
  'ReferenceGrant.spec.from[]': 'ReferenceGrantFrom',
  'ReferenceGrant.spec.to[]': 'ReferenceGrantTo',
  'TCPRoute.spec.rules[]': 'L4RouteRule',
  'TCPRoute.spec.rules[].backendRefs[]': 'BackendRef',
};
const fromMeta = new Set(['Condition', 'LabelSelector']);

interface Shape {
  readonly name: string;
  readonly text: string;
}

/** What makes two schemas the same type; descriptions, defaults and validation do not. */
function identityOf(schema: OpenApiSchema): unknown {
  return [
    schema.type,
    schema.enum,
    schema.required,
    schema.items && identityOf(schema.items),
    typeof schema.additionalProperties === 'object' ? identityOf(schema.additionalProperties) : schema.additionalProperties,
    Object.entries(schema.properties ?? {}).map(([name, s]) => [name, identityOf(s)]),
  ];
}

/** The first sentence of a description on one line. */
function comment(schema: OpenApiSchema, indent: string): string {
  const first = (schema.description ?? '').split('\n\n')[0]?.replaceAll(/\s+/g, ' ').trim() ?? '';
  const sentence = /^.*?[.](?=\s|$)/.exec(first)?.[0] ?? first;
  return sentence === '' ? '' : `${indent}/** ${sentence.replaceAll('*/', '* /')} */\n`;
}

function generate(crds: readonly CustomResourceDefinition[]): string {
  const shapes = new Map<string, Shape>();
  const missing: string[] = [];

  const typeOf = (schema: OpenApiSchema, path: string): string => {
    if (schema['x-kubernetes-int-or-string']) return 'number | string';
    if (schema.enum) return schema.enum.map((v) => `'${String(v)}'`).join(' | ');
    switch (schema.type) {
      case 'string':
      case 'boolean':
        return schema.type;
      case 'integer':
      case 'number':
        return 'number';
      case 'array': {
        const item = schema.items ? typeOf(schema.items, `${path}[]`) : 'unknown';
        return /[ |]/.test(item) ? `readonly (${item})[]` : `readonly ${item}[]`;
      }
      case undefined:
        return 'unknown';
      default:
        if (schema.properties) return named(schema, path);
        return `Readonly<Record<string, ${typeof schema.additionalProperties === 'object' ? typeOf(schema.additionalProperties, `${path}{}`) : 'unknown'}>>`;
    }
  };

  const named = (schema: OpenApiSchema, path: string): string => {
    const identity = JSON.stringify(identityOf(schema));
    const known = shapes.get(identity);
    if (known) return known.name;
    // Spec and status of a kind are called by the kind: HTTPRouteSpec.
    const name = names[path] ?? (/^\w+\.(spec|status)$/.test(path) ? path.replace(/\.(s)/, (_, s: string) => s.toUpperCase()) : undefined);
    if (name === undefined) missing.push(path);
    const shape = { name: name ?? 'unknown', text: '' };
    shapes.set(identity, shape);
    if (fromMeta.has(shape.name)) return shape.name;
    const required = new Set(schema.required);
    const fields = Object.entries(schema.properties ?? {}).map(
      ([field, s]) => `${comment(s, '  ')}  readonly ${field}${required.has(field) ? '' : '?'}: ${typeOf(s, `${path}.${field}`)};\n`,
    );
    shapes.set(identity, { name: shape.name, text: `${comment(schema, '')}export interface ${shape.name} {\n${fields.join('')}}\n` });
    return shape.name;
  };

  const kinds = crds.map((crd) => {
    const kind = crd.spec.names.kind;
    const stored = crd.spec.versions.find((v) => v.storage);
    const schema = stored?.schema?.openAPIV3Schema as OpenApiSchema | undefined;
    if (!stored || !schema) throw new Error(`${kind} has no storage version`);
    const required = new Set(schema.required);
    const fields = Object.entries(schema.properties ?? {})
      .filter(([field]) => !['apiVersion', 'kind', 'metadata'].includes(field))
      .map(([field, s]) => `  readonly ${field}${required.has(field) ? '' : '?'}: ${typeOf(s, `${kind}.${field}`)};\n`);
    const head = `/** ${crd.spec.group}/${stored.name}. ${comment(schema, '').slice(4) || '*/\n'}`;
    return `${head}export interface ${kind} extends KubeObject {\n  readonly kind: '${kind}';\n${fields.join('')}}\n`;
  });
  if (missing.length > 0) throw new Error(`Add a name to the table in generate.ts for:\n${missing.join('\n')}`);

  const header =
    `// Generated by src/kube/types/generate.ts from sigs.k8s.io/gateway-api ${version} (experimental channel). Do not edit.\n` +
    `import type { Condition, KubeObject, LabelSelector } from './meta.ts';\n`;
  const texts = [...shapes.values()].filter((s) => s.text !== '').sort((a, b) => (a.name < b.name ? -1 : 1));
  return [header, ...kinds, ...texts.map((s) => s.text)].join('\n');
}

/** The module's CRDs out of Go's module cache, fetched when they are not there. */
function readCrds(): readonly CustomResourceDefinition[] {
  const answer = execFileSync('go', ['mod', 'download', '-json', `sigs.k8s.io/gateway-api@${version}`], {
    cwd: tmpdir(),
    encoding: 'utf8',
    env: { ...process.env, GOFLAGS: '-mod=mod' },
  });
  const folder = join((JSON.parse(answer) as { Dir: string }).Dir, 'config/crd/experimental');
  return readdirSync(folder)
    .filter((file) => file.startsWith('gateway.networking.k8s.io_'))
    .flatMap((file) => loadAll(readFileSync(join(folder, file), 'utf8')) as CustomResourceDefinition[])
    .filter((crd) => crd.kind === 'CustomResourceDefinition')
    .sort((a, b) => (a.spec.names.kind < b.spec.names.kind ? -1 : 1));
}

const text = generate(readCrds());
if (!process.argv.includes('--check')) {
  writeFileSync(typesFile, text);
} else if (readFileSync(typesFile, 'utf8') !== text) {
  process.stderr.write(`${typesFile} is stale: run node src/kube/types/generate.ts\n`);
  process.exitCode = 1;
}
