"""How well the gates decide: simulated rollouts of good and bad versions, judged by Shoal's gates and by others' rules.

Run by `make bench-decisions`. The verdicts are those of the operator's own pure core.
"""
