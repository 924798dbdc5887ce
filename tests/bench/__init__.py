"""`make bench`: what going through Seadragon costs, next to nginx and next to no gateway at all.

One run measures all of them in turn, round after round, on the same two cores: load and upstream on the first, the
gateway under test on the second. Absolute figures belong to a machine; the ratios are what the goals speak of.
"""
