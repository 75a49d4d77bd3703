"""The wire contracts that Shoal's parts share: .proto files and the stubs generated from them, nothing else."""
