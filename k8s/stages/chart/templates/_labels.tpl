{{/* The labels that choose the pods. Selectors never change in the life of an object. */}}
{{- define "gourmetgram-app.selectorLabels" -}}
app: gourmetgram-app
app.kubernetes.io/name: gourmetgram-app
app.kubernetes.io/instance: {{ .Values.stage }}
{{- end }}

{{- define "gourmetgram-app.labels" -}}
{{ include "gourmetgram-app.selectorLabels" . }}
app.kubernetes.io/component: web
app.kubernetes.io/part-of: gourmetgram
app.kubernetes.io/managed-by: argocd
{{- end }}

{{/* Labels of the Deployment and its pods: the version as well. */}}
{{- define "gourmetgram-app.versionedLabels" -}}
{{ include "gourmetgram-app.labels" . }}
{{- with .Values.modelVersion }}
app.kubernetes.io/version: {{ . | quote }}
{{- end }}
{{- end }}
