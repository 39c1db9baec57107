"""The kinds of files there are, and the module that has the maker of each under the name `MAKER`.

Imported when a file of the kind is made: their libraries weigh more than all the rest of a worker.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Final, cast

from sync_server.research_files.making import Maker

MAKERS: Final[Mapping[str, str]] = {
    "export": "sync_server.exports.exporting",
    "participant_report": "sync_server.reports.making",
    "site_report": "sync_server.reports.making",
    "study_report": "sync_server.reports.making",
}


def maker_of(kind: str) -> Maker:
    """The maker of a kind. Raises LookupError where there is none in this release."""
    if kind not in MAKERS:
        raise LookupError(f"This release makes no files of the kind {kind}.")
    return cast(Maker, import_module(MAKERS[kind]).MAKER)
