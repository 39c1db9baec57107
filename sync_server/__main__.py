"""`python -m sync_server`: the command line."""

from sync_server.cli import main

main()
