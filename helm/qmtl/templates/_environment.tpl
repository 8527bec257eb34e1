{{/* What a process is told: (list $ "world"). */}}

{{- define "qmtl.environment" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $values := index $root.Values $name -}}
- { name: QMTL_LISTEN, value: "{{ if eq $name "executor" }}127.0.0.1{{ else }}0.0.0.0{{ end }}:9000" }
- { name: QMTL_METRICS_LISTEN, value: "0.0.0.0:9001" }
- { name: QMTL_HEALTH_LISTEN, value: "0.0.0.0:9002" }
- { name: QMTL_LOG_LEVEL, value: {{ $root.Values.logLevel | quote }} }
- { name: QMTL_TLS_CERTIFICATE, value: /etc/qmtl/tls/tls.crt }
- { name: QMTL_TLS_KEY, value: /etc/qmtl/tls/tls.key }
- { name: QMTL_TLS_CA, value: /etc/qmtl/tls/ca.crt }
{{- with $root.Values.auth }}
- { name: QMTL_AUTH_JWKS, value: {{ default "/etc/qmtl/jwks/jwks.json" .jwks.url | quote }} }
- { name: QMTL_AUTH_ISSUER, value: {{ .issuer | quote }} }
- { name: QMTL_AUTH_AUDIENCE, value: {{ .audience | quote }} }
- { name: QMTL_AUTH_PERMISSIONS, value: {{ .permissionsClaim | quote }} }
- { name: QMTL_AUTH_NAME, value: {{ .nameClaim | quote }} }
- { name: QMTL_AUTH_SKEW_SECONDS, value: {{ int64 .skewSeconds | quote }} }
{{- end }}
{{- if ne $name "dagmgr" }}
- { name: QMTL_NATS_REPLICAS, value: {{ int64 $root.Values.natsReplicas | quote }} }
- { name: QMTL_KEEP_DAYS, value: {{ int64 $values.keepDays | quote }} }
{{- end }}
{{ include (printf "qmtl.environment.%s" $name) $root | trim }}
{{ include "qmtl.environment.stores" . | trim }}
{{- range $variable, $value := $root.Values.otel }}
{{- if hasSuffix "_HEADERS" $variable }}{{ fail (printf "otel.%s would show a collector's credential to who may read Deployments: give it by extraEnv, with valueFrom" $variable) }}{{ end }}
- { name: {{ $variable }}, value: {{ $value | quote }} }
{{- end }}
{{- if and $root.Values.otel (not (hasKey $root.Values.otel "OTEL_SERVICE_NAME")) }}
- { name: OTEL_SERVICE_NAME, value: qmtl-{{ $name }} }
{{- end }}
- { name: HOME, value: /tmp }
{{- end }}

{{- define "qmtl.environment.gateway" }}
- name: QMTL_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- { name: QMTL_TOKEN_FILE, value: /etc/qmtl/secret/token }
- { name: QMTL_WORLD_ADDRESS, value: "{{ include "qmtl.component" (list . "world") }}:9000" }
- { name: QMTL_DAGMGR_ADDRESS, value: "{{ include "qmtl.component" (list . "dagmgr") }}:9000" }
{{- with .Values.gateway.limits }}
- { name: QMTL_LIMITS_CALLS_PER_SECOND, value: {{ int64 .callsPerSecond | quote }} }
- { name: QMTL_LIMITS_BURST, value: {{ int64 .burst | quote }} }
- { name: QMTL_LIMITS_CALLS_AT_ONCE, value: {{ int64 .callsAtOnce | quote }} }
- { name: QMTL_LIMITS_CALLS_WAITING, value: {{ int64 .callsWaiting | quote }} }
- { name: QMTL_LIMITS_STREAMS, value: {{ int64 .streams | quote }} }
{{- end }}
{{- end }}

{{- define "qmtl.environment.world" }}
- { name: QMTL_PAPER_EXECUTOR, value: {{ ternary .Values.executor.name "" .Values.executor.enabled | quote }} }
- { name: QMTL_KEEP_SERIES_DAYS, value: {{ int64 .Values.world.keepSeriesDays | quote }} }
{{- end }}

{{- define "qmtl.environment.dagmgr" }}{{ end }}

{{- define "qmtl.environment.executor" }}
- { name: QMTL_NAME, value: {{ .Values.executor.name | quote }} }
- { name: QMTL_TOKEN_FILE, value: /etc/qmtl/secret/token }
- { name: QMTL_WORLD_ADDRESS, value: "{{ include "qmtl.component" (list . "world") }}:9000" }
- { name: QMTL_GATEWAY_ADDRESS, value: "{{ include "qmtl.component" (list . "gateway") }}:9000" }
- { name: QMTL_CACHE_DIR, value: /var/cache/qmtl }
- { name: NUMBA_CACHE_DIR, value: /var/cache/qmtl/numba }
{{- end }}

{{/* Where PostgreSQL and NATS are: in files of the service's Secret, or those of this chart under the service's password. */}}
{{- define "qmtl.environment.stores" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- if $root.Values.stores.enabled }}
- name: STORES_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ include "qmtl.secret" (list $root "stores") | quote }}, key: {{ $name }} } }
- { name: QMTL_POSTGRES_DSN, value: {{ include "qmtl.storesDsn" (list $root (printf "qmtl_%s" $name)) | quote }} }
- { name: QMTL_NATS_URL, value: "tls://{{ $name }}:$(STORES_PASSWORD)@{{ include "qmtl.component" (list $root "nats") }}:4222" }
- { name: PGSSLROOTCERT, value: /etc/qmtl/tls/ca.crt }
{{- else }}
- { name: QMTL_POSTGRES_DSN_FILE, value: /etc/qmtl/secret/postgres-dsn }
- { name: QMTL_NATS_URL_FILE, value: /etc/qmtl/secret/nats-url }
{{- if $root.Values.postgres.caSecretName }}
- { name: PGSSLROOTCERT, value: /etc/qmtl/postgres/ca.crt }
{{- end }}
{{- end }}
{{- end }}

{{/* The DSN of this chart's PostgreSQL for a user: (list $ "qmtl_world"). */}}
{{- define "qmtl.storesDsn" -}}
postgresql://{{ index . 1 }}:$(STORES_PASSWORD)@{{ include "qmtl.component" (list (index . 0) "postgres") }}:5432/qmtl?sslmode=verify-full
{{- end }}
