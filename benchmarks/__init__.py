"""Measurements against a peer or a physical limit, in one run, printed as ratios: `python -m benchmarks`."""
