{{/* The text of agent.yaml, as the ConfigMap has it. */}}
{{- define "tulle.config" -}}
{{ toYaml .Values.agent }}
{{ end -}}

{{/* Where kubelet, which is of the same network, finds what listens on this address. */}}
{{- define "tulle.probeHost" -}}
{{- $host := regexReplaceAll ":[0-9]+$" . "" | trimPrefix "[" | trimSuffix "]" -}}
{{- if or (eq $host "0.0.0.0") (eq $host "::") }}127.0.0.1{{ else }}{{ $host }}{{ end }}
{{- end -}}
