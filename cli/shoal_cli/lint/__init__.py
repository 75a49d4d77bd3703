"""`shoal lint`: manifests held to the API's own types, without a cluster."""
