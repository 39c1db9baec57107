"""Erasure: taking a participant's data out of everything, for good, by two people (see `execution`)."""
