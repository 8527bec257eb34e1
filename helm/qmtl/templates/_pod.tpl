{{/* What every pod has: no rights, no token, nothing to write on but what is mounted for it. */}}

{{- define "qmtl.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "qmtl.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "qmtl.imageOf" -}}
image: {{ include "qmtl.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "qmtl.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* metadata of a pod: (list $ "world"). */}}
{{- define "qmtl.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "qmtl.selector" . | nindent 2 }}
  {{- include "qmtl.versionLabel" $root | nindent 2 }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "qmtl.spread" -}}
{{- $root := index . 0 -}}{{- $labels := include "qmtl.selector" . -}}
{{- with $root.Values.topologySpread }}
{{- if .enabled }}
{{- $when := .whenUnsatisfiable }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $when }}
    labelSelector:
      matchLabels:
        {{- $labels | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Probes of health alone, which no certificate guards: kubelets ask in plain text. Who is called stays reachable
without NATS, which all pods share: a world is frozen by PostgreSQL alone. */}}
{{- define "qmtl.probes" -}}
startupProbe:
  grpc: { port: 9002, service: live }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  grpc: { port: 9002, service: live }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  grpc: { port: 9002{{ if ne . "executor" }}, service: postgres{{ end }} }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* The Secret that a process reads files of, where it has one: nothing of what this chart's own stores say. */}}
{{- define "qmtl.readsSecret" -}}
{{- $root := index . 0 -}}
{{- if or (not $root.Values.stores.enabled) (has (index . 1) (list "gateway" "executor")) }}true{{ end }}
{{- end }}

{{- define "qmtl.mounts" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
- { name: tmp, mountPath: /tmp }
- { name: tls, mountPath: /etc/qmtl/tls, readOnly: true }
{{- if include "qmtl.readsSecret" . }}
- { name: secret, mountPath: /etc/qmtl/secret, readOnly: true }
{{- end }}
{{- if not $root.Values.auth.jwks.url }}
- { name: jwks, mountPath: /etc/qmtl/jwks, readOnly: true }
{{- end }}
{{- if $root.Values.postgres.caSecretName }}
- { name: postgres-ca, mountPath: /etc/qmtl/postgres, readOnly: true }
{{- end }}
{{- if eq $name "executor" }}
- { name: cache, mountPath: /var/cache/qmtl }
{{- end }}
{{- end }}

{{- define "qmtl.volumes" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $values := index $root.Values $name -}}
- name: tmp
  emptyDir: { sizeLimit: 256Mi }
- name: tls
  secret: { secretName: {{ include "qmtl.tlsSecret" . | quote }}, defaultMode: 0440 }
{{- if include "qmtl.readsSecret" . }}
- name: secret
  secret: { secretName: {{ include "qmtl.secret" . | quote }}, defaultMode: 0440 }
{{- end }}
{{- with $root.Values.auth.jwks }}
{{- if not .url }}
- name: jwks
  {{- if .secretName }}
  secret: { secretName: {{ .secretName | quote }}, items: [{ key: {{ .key | quote }}, path: jwks.json }], defaultMode: 0440 }
  {{- else }}
  configMap: { name: {{ .configMapName | quote }}, items: [{ key: {{ .key | quote }}, path: jwks.json }] }
  {{- end }}
{{- end }}
{{- end }}
{{- with $root.Values.postgres }}
{{- if .caSecretName }}
- name: postgres-ca
  secret: { secretName: {{ .caSecretName | quote }}, items: [{ key: {{ .caKey | quote }}, path: ca.crt }], defaultMode: 0440 }
{{- end }}
{{- end }}
{{- if eq $name "executor" }}
- name: cache
  emptyDir: { sizeLimit: {{ $values.cacheSize }} }
{{- end }}
{{- end }}

{{/* A list with what a value adds to it, which must be new by a key: (list "- name: tmp" $values.extraVolumes "name" "gateway.extraVolumes"). */}}
{{- define "qmtl.withExtra" -}}
{{- $own := index . 0 | trim -}}{{- $extra := index . 1 -}}{{- $key := index . 2 -}}{{- $path := index . 3 -}}
{{- $taken := list -}}
{{- range $own | fromYamlArray }}{{ $taken = append $taken (get . $key) }}{{ end -}}
{{- range $extra -}}
{{- $name := get . $key | trimSuffix "/" -}}
{{- if has $name $taken }}{{ fail (printf "%s: %s %q is there already, by the chart or twice" $path $key $name) }}{{ end -}}
{{- $taken = append $taken $name -}}
{{- end -}}
{{- $own }}
{{- with $extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where a pod may be: (list $ $values). */}}
{{- define "qmtl.placement" -}}
{{- $root := index . 0 -}}{{- $values := index . 1 -}}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
