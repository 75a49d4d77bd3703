"""Models that were fitted elsewhere: fetched from stores, web servers and registries, trusted in nothing."""
