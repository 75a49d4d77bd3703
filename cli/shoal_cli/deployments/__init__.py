"""The verbs for ClusteringDeployments: what they look at, what they ask the operator for, and how it is shown."""
