{{- define "twintor.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "twintor.selector" -}}
app.kubernetes.io/name: twintor
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "twintor.account" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false, so serviceAccount.name must name an account that exists" -}}
{{- end -}}
{{- .Values.serviceAccount.name | default (include "twintor.name" .) -}}
{{- end -}}

{{- /* The structured configuration, empty if there is none. */ -}}
{{- define "twintor.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.passwordSecret.name -}}
{{- $path := printf "/etc/twintor-secret/%s" .Values.passwordSecret.key -}}
{{- $defaults := $config.defaults | default dict -}}
{{- if hasKey $defaults "passwordFile" -}}
{{- fail "config.defaults.passwordFile and passwordSecret.name both name a password; leave one of them out" -}}
{{- end -}}
{{- $_ := set $config "defaults" (merge (dict "passwordFile" $path) $defaults) -}}
{{- end -}}
{{- if $config -}}
{{- merge (dict "apiVersion" "twintor.io/v1alpha1" "kind" "SpeakerConfig") $config | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "twintor.capabilities" -}}
{{- $add := list -}}
{{- if and .Values.listen.enabled (lt (int .Values.listen.port) 1024) -}}
{{- $add = append $add "NET_BIND_SERVICE" -}}
{{- end -}}
{{- if .Values.realtimeBfd -}}
{{- $add = append $add "SYS_NICE" -}}
{{- end -}}
{{- toJson $add -}}
{{- end -}}

{{- define "twintor.args" -}}
{{- with .Values.bgp -}}
{{- if not $.Values.config -}}
{{- if not (or .neighborAddresses .neighborIPv6Addresses) -}}
{{- fail "there is no switch: set bgp.neighborAddresses or bgp.neighborIPv6Addresses, or write a config" -}}
{{- end -}}
- --cluster-as={{ int64 (required "bgp.clusterAS is missing: the AS number of the nodes" .clusterAS) }}
- --neighbor-as={{ int64 (required "bgp.neighborAS is missing: the AS number of the switches" .neighborAS) }}
{{- with .neighborAddresses }}
- --neighbor-address={{ join "," . }}
{{- end }}
{{- with .neighborIPv6Addresses }}
- --neighbor-ipv6-address={{ join "," . }}
{{- end }}
- --holdtime={{ .holdTime }}
{{- if .announceClusterIP }}
- --announce-cluster-ip
{{- end }}
{{- if .bfd.enabled }}
- --enable-bfd
- --bfd-min-tx={{ int64 .bfd.minTx }}
- --bfd-min-rx={{ int64 .bfd.minRx }}
- --bfd-detection-multiplier={{ int .bfd.multiplier }}
{{- end }}
{{- if $.Values.gracefulRestart.enabled }}
- --graceful-restart
- --graceful-restart-time={{ $.Values.gracefulRestart.restartTime }}
{{- end }}
{{- end }}
{{- end }}
{{- if include "twintor.config" . }}
- --config=/etc/twintor/config.yaml
{{- end }}
{{- if .Values.stateFile.volume }}
- --state-file=/var/lib/twintor/state
{{- end }}
{{- if not .Values.listen.enabled }}
- --listen-port=0
{{- else if ne (int .Values.listen.port) 179 }}
- --listen-port={{ int .Values.listen.port }}
{{- end }}
{{- if not .Values.hostNetwork }}
- --node-ips=$(HOST_IP)
{{- end }}
{{- if not .Values.metrics.enabled }}
- --enable-metrics=false
{{- else if contains ":" .Values.metrics.address }}
- --http-address=[{{ .Values.metrics.address }}]:{{ int .Values.metrics.port }}
{{- else if .Values.metrics.address }}
- --http-address={{ .Values.metrics.address }}:{{ int .Values.metrics.port }}
{{- else if ne (int .Values.metrics.port) 10667 }}
- --pprof-port={{ int .Values.metrics.port }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "twintor.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- $address := .Values.metrics.address }}
  {{- if not (has $address (list "" "::" "0.0.0.0")) }}
  host: {{ $address | quote }}
  {{- end }}
{{- end -}}
