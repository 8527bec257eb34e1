{{/* Names, labels and references that several templates share. */}}

{{- define "qmtl.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end }}

{{- define "qmtl.fullname" -}}
{{- $name := include "qmtl.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = default $full .Values.fullnameOverride -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" $full) -}}
{{- fail (printf "by the release's name every object's name begins with %q, which a Service's cannot (a letter, then letters, digits and -, 40 at most): choose another release name or set fullnameOverride" $full) -}}
{{- end -}}
{{- $full -}}
{{- end }}

{{/* Of a component: (list $ "world"). */}}
{{- define "qmtl.component" -}}
{{- printf "%s-%s" (include "qmtl.fullname" (index . 0)) (index . 1) -}}
{{- end }}

{{- define "qmtl.selector" -}}
app.kubernetes.io/name: {{ include "qmtl.name" (index . 0) | quote }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "qmtl.versionLabel" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
{{- end }}

{{- define "qmtl.labels" -}}
{{- $root := index . 0 -}}
{{ include "qmtl.selector" . }}
{{ include "qmtl.versionLabel" $root }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/* metadata of an object of a component, named as it or by a third part: (list $ "world" "metrics"). */}}
{{- define "qmtl.metadata" -}}
{{- $name := include "qmtl.component" . -}}
name: {{ join "-" (prepend (slice . 2) $name) | quote }}
namespace: {{ (index . 0).Release.Namespace | quote }}
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
