"""`python -m tests.redcap_double`."""

from tests.redcap_double.cli import main

main()
