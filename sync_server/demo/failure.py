"""How the demo says that it did not work."""

from typing import Final

PATIENCE_S: Final = 120.0
"""What any one step gets."""


class DemoFailed(Exception):
    """The demo did not come to its end; the message says where."""
