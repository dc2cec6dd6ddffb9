{{/*
Values of kgateway's own chart that mean nothing here, so that none is passed over in silence. One that changes which traffic is served, or how,
stops the installation; of any other NOTES.txt tells. `fine` lists what may stand there all the same; without it, anything empty may.
*/}}
{{- define "kgateway.foreignValues" -}}
- { path: discoveryNamespaceSelectors, stop: true, say: "objects of all namespaces are served. Limit who may attach routes with allowedRoutes of the listeners" }
- { path: policyMerge, stop: true, say: "policies are merged field by field, those nearer to the route first" }
- { path: validation.level, fine: [standard], stop: true, say: "what a proxy refuses is reported in the status of its objects, and the last accepted configuration stays in use" }
- { path: enableRouteSourceMetadata, stop: true, say: "routes carry no metadata about their source" }
- { path: controller.xds.tls.enabled, fine: ["true"], stop: true, say: "configuration holds private keys and is served over TLS only. The controller makes the certificate itself" }
{{- range $name := list "podAnnotations" "podSecurityContext" "securityContext" "resources" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
- { path: {{ $name }}, stop: true, say: "move it to controller.{{ $name }}" }
{{- end }}
- { path: agentgateway.enabled, say: "there is no class agentgateway" }
- { path: inferenceExtension.autoProvision, say: "no endpoint picker is deployed for an InferencePool: its endpointPickerRef names one" }
- { path: serviceEntriesExclusionLabelSelectors, say: "with waypoints, all ServiceEntries are read" }
- { path: controller.enableAwsEc2Discovery, say: "EC2 instances are not read" }
- { path: controller.awsEc2RefreshInterval, fine: ["30s"], say: "EC2 instances are not read" }
- { path: controller.goMemLimitPercent, say: "the controller runs on Node.js, which keeps to the memory limit of the container by itself" }
- { path: controller.startupProbe, say: "there is none: the liveness probe passes from the start, readiness waits for the configuration. See controller.livenessProbe" }
- { path: controller.verticalPodAutoscaler, say: "none is made" }
- { path: controller.service.enabled, fine: ["true"], say: "the Service is always made: proxies get their configuration through it" }
{{- end }}

{{/* One line for each foreign value that is set; argument: {values, stop}. */}}
{{- define "kgateway.foreignValuesSet" -}}
{{- $argument := . }}
{{- range $entry := include "kgateway.foreignValues" . | fromYamlArray }}
{{- if eq $argument.stop (hasKey $entry "stop") }}
{{- $value := $argument.values }}
{{- range $key := splitList "." $entry.path }}
{{- $value = kindIs "map" $value | ternary (get ($value | default dict) $key) nil }}
{{- end }}
{{- $set := not (empty $value) }}
{{- with $entry.fine }}
{{- $set = and (not (kindIs "invalid" $value)) (ne "" (toString $value)) (not (has (toString $value | lower) .)) }}
{{- end }}
{{- if $set }}
  {{ $entry.path }}: {{ $entry.say }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
