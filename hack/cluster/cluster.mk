# The local cluster and the images; included by the root Makefile. CLUSTER=node|kind|current chooses (default: auto).

.PHONY: programs
programs: ## build the local node's programs, kubectl and helm among them
	@hack/toolchain.sh
	@python3 hack/cluster programs

.PHONY: cluster-up
cluster-up: ## a local Kubernetes cluster with Envoy Gateway, metrics and S3; does nothing where it is up
	@python3 hack/cluster up

.PHONY: cluster-down
cluster-down: ## remove the cluster and everything that it left on the machine
	@python3 hack/cluster down

.PHONY: kubeconfig
kubeconfig: ## print the path of the cluster's kubeconfig
	@python3 hack/cluster kubeconfig

.PHONY: images
images: ## build the images whose sources changed and load them into the cluster
	@hack/toolchain.sh
	@python3 hack/images load
