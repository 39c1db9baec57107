"""Reminders of visits: who is told when, by which channel, in which words; once, and never for nothing.

What is to be sent is a function of rules, settings, visit and participant (`schedule`, pure). Whoever changes
one of these brings the rows up to date in the same transaction (`planning`); time itself is the relay's
(`due`), the sending a worker's (`sending`, `sync_server.jobs.reminders`). See docs/REMINDERS.md.
"""
