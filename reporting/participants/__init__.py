"""The roster: who takes part in a study, where, since when; and their contacts, sealed."""
