"""The impure shell: queue, watch store, API gateway, election. It executes plans and decides nothing."""
