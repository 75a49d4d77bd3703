"""What rollouts cost and keep on the real cluster: failed calls, delays, shares, verdicts beside the simulated ones."""
