"""The published score definitions, by hand-computed examples and against a second computation."""
