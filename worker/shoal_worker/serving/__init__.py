"""One model behind gRPC: ports, health, limits, drain."""
