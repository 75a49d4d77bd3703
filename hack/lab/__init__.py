"""What the demo and the end-to-end tests share: a handle on the cluster, data, load, the chart's install."""
