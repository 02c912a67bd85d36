{{/* Labels by which objects are found; they never change, since selectors can't. */}}
{{- define "casa.selectorLabels" -}}
app.kubernetes.io/name: casa
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* All labels of a part: `include "casa.labels" (list $ "runtime")`. */}}
{{- define "casa.labels" -}}
{{- $root := index . 0 -}}
{{ include "casa.selectorLabels" (index . 1) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: casa
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of pods: nothing that changes with the chart's version alone, since that would start them anew. */}}
{{- define "casa.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "casa.selectorLabels" (index . 1) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/part-of: casa
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image by its digest, or else by its tag. */}}
{{- define "casa.imageOf" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end }}

{{- define "casa.image" -}}
{{ include "casa.imageOf" (list .Values.image .Chart.AppVersion) }}
{{- end }}

{{/* What every pod but the node guard's is held to: the restricted profile of Pod Security. */}}
{{- define "casa.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1337
runAsGroup: 1337
fsGroup: 1337
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "casa.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the kernel asks of whoever loads programs into it. Kubernetes gives added capabilities to root alone. */}}
{{- define "casa.guardSecurityContext" -}}
runAsUser: 0
runAsGroup: 1337
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: [BPF, NET_ADMIN, PERFMON]
{{- end }}

{{- define "casa.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "casa.priorityClassName" -}}
{{- $name := ternary "casa-system" .Values.priorityClass.name .Values.priorityClass.create -}}
{{- with $name }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Spreading a part over nodes and zones. */}}
{{- define "casa.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "casa.selectorLabels" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "casa.selectorLabels" . | nindent 8 }}
{{- end }}

{{/* Where a part's pods go, from its values. */}}
{{- define "casa.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "casa.runtimeURL" -}}
http://casa-runtime.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:8700
{{- end }}

{{- define "casa.adminSecret" -}}
{{ .Values.admin.existingSecret | default "casa-admin" }}
{{- end }}

{{- define "casa.postgresqlSecret" -}}
{{ .Values.postgresql.existingSecret | default "casa-postgresql" }}
{{- end }}

{{- define "casa.injectorSecret" -}}
{{ .Values.injector.tls.existingSecret | default "casa-injector-tls" }}
{{- end }}

{{/* "true" where sidecars are to be init containers that go on running. */}}
{{- define "casa.nativeSidecars" -}}
{{- if eq (toString .Values.injector.nativeSidecars) "auto" -}}
{{ semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version }}
{{- else -}}
{{ .Values.injector.nativeSidecars }}
{{- end -}}
{{- end }}

{{/* Refuses values that contradict each other. Exactly one database must be chosen. */}}
{{- define "casa.validate" -}}
{{- $external := ne .Values.postgresql.external.urlSecret.name "" -}}
{{- $chosen := 0 -}}
{{- range list $external .Values.postgresql.enabled .Values.runtime.sqlite.enabled -}}
{{- if . }}{{ $chosen = add1 $chosen }}{{ end -}}
{{- end -}}
{{- if ne (int $chosen) 1 -}}
{{- fail (printf "expected exactly one database, got %d: set postgresql.external.urlSecret.name (a Secret with a PostgreSQL URL), postgresql.enabled=true (one within the chart, for trials) or runtime.sqlite.enabled=true (one replica, on a volume)" (int $chosen)) -}}
{{- end -}}
{{- if .Values.runtime.sqlite.enabled -}}
{{- if or (gt (int .Values.runtime.replicas) 1) .Values.runtime.autoscaling.enabled -}}
{{- fail "SQLite belongs to one runtime: set runtime.replicas=1 and runtime.autoscaling.enabled=false, or choose PostgreSQL" -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.runtime.autoscaling.minReplicas) (int .Values.runtime.autoscaling.maxReplicas) -}}
{{- fail "runtime.autoscaling.minReplicas must not be more than maxReplicas" -}}
{{- end -}}
{{- if and (eq .Values.mode "istio") (not .Values.injector.istioProxyImage) -}}
{{- fail "injector.istioProxyImage must name the image that Istio was installed with, such as docker.io/istio/proxyv2:1.27.0: pods with another one are refused" -}}
{{- end -}}
{{- if and .Values.injector.tls.caBundle (not .Values.injector.tls.existingSecret) -}}
{{- fail "injector.tls.caBundle is the CA of injector.tls.existingSecret, which is not set" -}}
{{- end -}}
{{- if eq .Values.nodeGuard.namespace .Release.Namespace -}}
{{- fail "nodeGuard.namespace must be another namespace than the release's: its pods need rights that this one forbids" -}}
{{- end -}}
{{- if has .Release.Namespace (list "default" "kube-system" "kube-public" "kube-node-lease") -}}
{{- fail (printf "install CASA into a namespace of its own, such as casa-system, not into %s: everything in it is denied all network but CASA's own" .Release.Namespace) -}}
{{- end -}}
{{- end }}

{{/* Rules of network policies that several parts share. */}}
{{- define "casa.dnsEgress" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- with .Values.networkPolicy.dnsCIDRs }}
- to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end }}
{{- end }}
{{- define "casa.apiServerEgress" -}}
- to:
    {{- range .Values.networkPolicy.apiServerCIDRs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- define "casa.runtimeEgress" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .Release.Namespace }}
      podSelector:
        matchLabels:
          {{- include "casa.selectorLabels" "runtime" | nindent 10 }}
  ports:
    - port: 8700
      protocol: TCP
{{- end }}
{{- define "casa.metricsIngress" -}}
- from:
    - namespaceSelector:
        matchLabels:
          {{- toYaml (index . 0).Values.networkPolicy.metricsNamespaceLabels | nindent 10 }}
  ports:
    - port: {{ index . 1 }}
      protocol: TCP
{{- end }}
