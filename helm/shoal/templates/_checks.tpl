{{/* Refuses values that are fine each by itself but not together; values.schema.json refuses the others. */}}
{{- define "shoal.checks" -}}
{{- $rbac := .Values.rbac }}
{{- if and (eq $rbac.scope "namespaced") (not $rbac.watchNamespaces) }}
{{- fail "rbac.scope is namespaced and rbac.watchNamespaces is empty; name the namespaces to serve, or use scope cluster" }}
{{- end }}
{{- if and (eq $rbac.scope "cluster") $rbac.watchNamespaces }}
{{- fail (printf "rbac.watchNamespaces (%s) has no effect with rbac.scope cluster; set rbac.scope to namespaced, or leave it empty" (join ", " $rbac.watchNamespaces)) }}
{{- end }}
{{- if and (include "shoal.claim" .) .Values.store.secretName }}
{{- fail (printf "store.secretName %s has no effect with store.uri %s; leave it empty, or use an s3:// store" .Values.store.secretName .Values.store.uri) }}
{{- end }}
{{- end }}
