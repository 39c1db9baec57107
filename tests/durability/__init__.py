"""What survives a process that is killed and a machine that loses its power; `docs/DURABILITY.md`."""
