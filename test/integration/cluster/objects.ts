// Objects that many tests need, as YAML.

/** The echo server of the conformance suite: it answers with what it got. It goes on serving for a moment when it is to end, as a good backend does. */
export function echoServer(name: string, o: { readonly replicas?: number; readonly namespace?: string } = {}): string {
  const place = o.namespace === undefined ? '' : `, namespace: ${o.namespace}`;
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}${place}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 3000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}${place}}
spec:
  replicas: ${o.replicas ?? 1}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: echo
          image: registry.k8s.io/gateway-api/echo-basic:v1.5.1
          env:
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
          readinessProbe: {httpGet: {path: /, port: 3000}, periodSeconds: 1}
          lifecycle: {preStop: {sleep: {seconds: 4}}}
`;
}

/** A Gateway of class kgateway with an HTTP listener `http` on port 80; `more` is YAML under `spec`. */
export function gateway(name: string, more = ''): string {
  const listeners = more.includes('listeners:') ? '' : '  listeners: [{name: http, port: 80, protocol: HTTP}]\n';
  return `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ${name}}
spec:
  gatewayClassName: kgateway
${listeners}${more}
`;
}

/** An HTTPRoute from a host to a Service on port 80; `filters` is a YAML list. */
export function route(
  name: string,
  o: { readonly gateway: string; readonly host: string; readonly to: string; readonly filters?: string },
): string {
  return `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}}
spec:
  parentRefs: [{name: ${o.gateway}}]
  hostnames: [${o.host}]
  rules: [{backendRefs: [${o.to.startsWith('{') ? o.to : `{name: ${o.to}, port: 80}`}]${o.filters === undefined ? '' : `, filters: ${o.filters}`}}]
`;
}
