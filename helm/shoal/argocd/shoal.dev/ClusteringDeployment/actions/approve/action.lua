-- By its number: a newer version that came since is not approved with it. The operator removes the annotation.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["shoal.dev/approve"] = tostring(obj.status.pendingVersion)
return obj
