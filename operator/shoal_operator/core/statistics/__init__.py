"""The arithmetic behind the gates: may a difference between candidate and stable be chance, however often one looks?

Called by core.gates only. Invariant: every answer is a function of its arguments, and holds at every look at once: the
probability that a candidate as good as the limit allows is ever condemned in a window is at most `alpha`.
"""
