{{- define "demo.selectorLabels" -}}
app.kubernetes.io/name: {{ . }}
app.kubernetes.io/part-of: casa-demo
{{- end }}

{{- define "demo.labels" -}}
{{ include "demo.selectorLabels" (index . 1) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "demo.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "demo.llmHost" -}}
{{- if .Values.llm.standIn.enabled -}}
llm.{{ .Values.llm.standIn.namespace }}.svc.{{ .Values.clusterDomain }}
{{- else -}}
{{ required "llm.host must name the LLM, or llm.standIn.enabled must be true" .Values.llm.host }}
{{- end -}}
{{- end }}

{{- define "demo.llmPort" -}}
{{ ternary 8102 .Values.llm.port .Values.llm.standIn.enabled }}
{{- end }}

{{- define "demo.llmScheme" -}}
{{ ternary "http" .Values.llm.scheme .Values.llm.standIn.enabled }}
{{- end }}

{{/* Where a program listens. With our own sidecar loopback is enough, and nobody else in the cluster gets past it; Istio's
hands connections to the pod's own address. */}}
{{- define "demo.listen" -}}
{{ ternary "127.0.0.1" "0.0.0.0" (eq .Values.mode "cilium") }}
{{- end }}

{{- define "demo.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "demo.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "demo.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
