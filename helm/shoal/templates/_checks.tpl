{{/* Refuses values that are fine each by itself but not together; values.schema.json refuses the others. */}}
{{- define "shoal.checks" -}}
{{- $rbac := .Values.rbac }}
{{- if and (eq $rbac.scope "namespaced") (not $rbac.watchNamespaces) }}
{{- fail "rbac.scope is namespaced and rbac.watchNamespaces is empty; name the namespaces to serve, or use scope cluster" }}
{{- end }}
{{- if and (eq $rbac.scope "cluster") $rbac.watchNamespaces }}
{{- fail (printf "rbac.watchNamespaces (%s) has no effect with rbac.scope cluster; set rbac.scope to namespaced, or leave it empty" (join ", " $rbac.watchNamespaces)) }}
{{- end }}
{{- if and .Values.argocd.enabled (lookup "v1" "Namespace" "" "kube-system") }}
{{- fail "argocd.enabled is for helm template, not for a release: argocd-cm belongs to Argo CD, and would go with the release; leave it false, and see docs/gitops.md" }}
{{- end }}
{{- if and (include "shoal.claim" .) .Values.store.secretName }}
{{- fail (printf "store.secretName %s has no effect with store.uri %s; leave it empty, or use an s3:// store" .Values.store.secretName .Values.store.uri) }}
{{- end }}
{{- end }}
