"""The local Kubernetes cluster: one real node without Docker, or kind, or the current context."""
