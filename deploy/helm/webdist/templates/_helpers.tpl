{{/* Every object has the name of the release. */}}
{{- define "webdist.metadata" -}}
name: {{ .Release.Name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "webdist.selector" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "webdist.selector" -}}
app.kubernetes.io/name: webdist
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "webdist.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "webdist.secretsName" -}}
{{ .Values.secrets.name | default .Release.Name }}
{{- end }}

{{/* The parts of a pod that the Deployment and the test share. */}}
{{- define "webdist.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "webdist.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "webdist.volumeMounts" -}}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
# Mounted as a folder, not with subPath, so that running pods see a changed secret.
- { name: secrets, mountPath: /secrets, readOnly: true }
{{- end }}

{{- define "webdist.volumes" -}}
- { name: data, emptyDir: {} }
- { name: tmp, emptyDir: {} }
- name: secrets
  {{- if eq .Values.secrets.source "csi" }}
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes: { secretProviderClass: {{ include "webdist.secretsName" . }} }
  {{- else }}
  secret: { secretName: {{ include "webdist.secretsName" . }}, defaultMode: 0440 }
  {{- end }}
{{- end }}
