"""Serving against peers: Shoal's worker, a bare echo, MLServer and KServe, on one machine in one run."""
