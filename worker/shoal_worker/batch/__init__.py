"""The verb `batch`: label a whole data set with one version, in shards, into a result store."""
