-- The annotation stays: it is the user's wish, and the state follows it.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["shoal.dev/state"] = "Archived"
return obj
