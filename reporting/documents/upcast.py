"""Documents of an older schema, brought to the one that this version reads.

A study runs for years and its tablets are updated one by one; documents of schema 1 arrive, and are replayed,
long after schema 2. So that everything behind validation knows one shape, a document is lifted step by step
before it is judged: 1 → 2 → 3. The stored document stays as it was sent.

| `schema` of the document | outcome |
|---|---|
| the newest | judged as it is |
| older, a step for each version in between | lifted, then judged; `sessions.schema` keeps the number sent |
| older, a step is missing | quarantined `unknown_schema` |
| newer | quarantined `unknown_schema`; projected by itself once a version that knows it runs |
| no integer | quarantined `unknown_schema` |

A step is a pure function of the decoded document: it answers a new one and leaves its argument alone. It
comes *before* validation, so it may meet anything; what it cannot lift it hands on, and validation says what
is wrong. Whoever adds a schema raises `SCHEMA` in `kinds`, adds a step for each type here (that of an
unchanged type answers its argument), and raises `RULES_VERSION`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from reporting.documents.kinds import SCHEMA, Invalid
from reporting.documents.shape import quote

RULES_VERSION: Final = 1
"""Of the rules that quarantine: raised whenever a document may be judged differently than before. The
projector then replays by itself what older rules have quarantined.
"""

Document: TypeAlias = dict[str, Any]
Step: TypeAlias = Callable[[Document], Document]


class Contract(NamedTuple):
    """What a version of the server knows of documents."""

    schema: int = SCHEMA
    steps: Mapping[tuple[str, int], Step] = {}
    """By type and the schema that the step lifts from, to the next one."""
    rules_version: int = RULES_VERSION


CONTRACT: Final = Contract()
"""That of this version."""

# What a step may come to grief on when it is given a document of any shape.
_STEP_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def upcast(type_: str, raw: Document, contract: Contract) -> Document | Invalid:
    """`raw`, of an integer schema below the contract's, in the contract's schema."""
    sent = raw["schema"]
    document = raw
    for schema in range(max(sent, 0), contract.schema):
        step = contract.steps.get((type_, schema))
        if step is None:
            return Invalid(
                "unknown_schema",
                "$.schema",
                f"$.schema is {quote(sent)}, and this server cannot bring a `{type_}` from schema {schema} to"
                f" {schema + 1}; it knows schema {contract.schema}. Update the tablet's app and save the"
                " document again, or run a server that still reads it.",
            )
        try:
            document = step(document)
        except _STEP_ERRORS as failure:
            return Invalid(
                "not_upcast",
                "$",
                f"The document cannot be brought from schema {schema} to {schema + 1}"
                f" ({type(failure).__name__}: {failure}). Look for members of the wrong type.",
            )
    return {**document, "schema": contract.schema}
