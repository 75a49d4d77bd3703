-- The operator removes the annotation once its effect is recorded.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["shoal.dev/promote"] = "yes"
return obj
