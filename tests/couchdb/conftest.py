"""Log lines are taken instead of printed."""

from tests.projection.conftest import logged

__all__ = ["logged"]
