"""Visits: when each participant is to be seen, and what became of it.

A participant's visits are a function of the study's definitions, the participant, the completed sessions
there are, and what people have decided by hand (`schedule`, pure). Whatever changes one of these brings the
rows up to date by the same steps (`generation`); the projector does it in its own transaction (`completion`).
"""
