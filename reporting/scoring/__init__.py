"""Scores of task runs: published definitions as pure functions of the normalised trials.

`score_task_run(task, trials)` is the whole interface. A score that a task run cannot define (no trial of a
kind, fewer than two for a deviation) is a `Score` with value None, never an absent one, so that a researcher
can tell "not computable" from "not computed".
"""

from reporting.scoring.registry import DEFINITIONS, GENERIC, Definition, Score, definition_of, score_task_run

__all__ = ["DEFINITIONS", "GENERIC", "Definition", "Score", "definition_of", "score_task_run"]
