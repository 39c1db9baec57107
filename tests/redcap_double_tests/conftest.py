"""The double, running."""

from tests.redcap_double.fixtures import redcap_double

__all__ = ["redcap_double"]
