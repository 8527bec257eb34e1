{{/* Names, labels and references that several templates share. */}}

{{- define "qmtl.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "qmtl.fullname" -}}
{{- $name := include "qmtl.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Of a component: (list $ "world"). */}}
{{- define "qmtl.component" -}}
{{- printf "%s-%s" (include "qmtl.fullname" (index . 0)) (index . 1) -}}
{{- end }}

{{- define "qmtl.selector" -}}
app.kubernetes.io/name: {{ include "qmtl.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "qmtl.labels" -}}
{{- $root := index . 0 -}}
{{ include "qmtl.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* metadata of an object of a component, named as it or by a third part: (list $ "world" "metrics"). */}}
{{- define "qmtl.metadata" -}}
{{- $name := include "qmtl.component" . -}}
name: {{ if gt (len .) 2 }}{{ printf "%s-%s" $name (index . 2) }}{{ else }}{{ $name }}{{ end }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "qmtl.labels" . | nindent 2 }}
{{- end }}

{{/* The names of the services that are installed. */}}
{{- define "qmtl.services" -}}
{{- $names := list "gateway" "world" "dagmgr" -}}
{{- if .Values.executor.enabled }}{{ $names = append $names "executor" }}{{ end -}}
{{- toJson $names -}}
{{- end }}

{{- define "qmtl.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end -}}
{{- end }}

{{- define "qmtl.secret" -}}
{{- default (include "qmtl.component" .) (get (index (index . 0).Values (index . 1)) "secretName") -}}
{{- end }}

{{- define "qmtl.tlsSecret" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- $values := ternary (get $root.Values.stores $name) (get $root.Values $name) (has $name (list "postgres" "nats")) -}}
{{- default (printf "%s-tls" (include "qmtl.component" .)) $values.tlsSecretName -}}
{{- end }}
