"""Pictures of the reports for the documentation, from the field data: `python -m tests.reports.pictures`.

The roster and the visits follow from the sessions (`field_study`); all else is as recorded. Takes a minute.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import pypdfium2
import structlog
from sqlalchemy import select, text

from reporting.engine import sync_engine
from reporting.projection.pump import Pump
from reporting.reports.naming import audience_of
from reporting.reports.participant import read_participant_report
from reporting.reports.scope import Reach
from reporting.reports.site import read_site_report
from reporting.reports.study import read_study_report
from reporting.research.audience import Wanted
from reporting.research.sources import participant_rows
from sync_server.reports.participant import participant_pdf
from sync_server.reports.site import site_pdf
from sync_server.reports.study import study_pdf
from tests.conftest import FIELD_SESSIONS
from tests.embedded.supervised import SupervisedSystem
from tests.projection.memory_feed import MemoryFeed
from tests.reports.field_study import SITES, STUDY, field_documents, make_study

FOLDER = Path(__file__).parents[2] / "docs" / "reports"
SCALE = 1.55
"""Pixels a point."""
SHOWN = {"participant": (0, 1), "participant-fr": (0,), "site": (0,), "study": (0, 1, 2)}
"""Pages, from 0."""
PARTICIPANT = "s017"


def main() -> None:
    """Write them into the folder that is named, or docs/reports."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with (
        tempfile.TemporaryDirectory(prefix="metricis-pictures-") as directory,
        SupervisedSystem(Path(directory)) as system,
    ):
        feed = MemoryFeed(*SITES)
        for site, document in field_documents(FIELD_SESSIONS):
            feed[site].save(document, "1-a")
        asyncio.run(Pump(feed, system.database_url).drain())
        owner = sync_engine(system.owner_url)
        with owner.begin() as connection:
            make_study(connection)
            connection.execute(text("ANALYZE"))
        owner.dispose()
        files = _reports(system.database_url)
    for name, content in files.items():
        _write(folder, name, content)


def _reports(database_url: str) -> dict[str, bytes]:
    engine = sync_engine(database_url)
    reach = Reach(STUDY, None, identified=False)
    with engine.connect() as connection:
        people = participant_rows(audience_of(reach), Wanted(STUDY)).subquery().c
        pseudonym = connection.scalar(select(people.participant).where(people.key_participant == PARTICIPANT))
        made = {
            "participant": participant_pdf(
                read_participant_report(connection, reach._replace(identified=True), PARTICIPANT), "en"
            ),
            "participant-fr": participant_pdf(
                read_participant_report(connection, reach, pseudonym or ""), "fr"
            ),
            "site": site_pdf(read_site_report(connection, Reach(STUDY, ("lima",), identified=False)), "en"),
            "study": study_pdf(read_study_report(connection, reach), "en"),
        }
    engine.dispose()
    return made


def _write(folder: Path, name: str, content: bytes) -> None:
    document = pypdfium2.PdfDocument(content)
    for page in SHOWN[name]:
        image = document[page].render(scale=SCALE).to_pil()
        image.save(folder / f"{name}-{page + 1}.png", optimize=True)
    document.close()


if __name__ == "__main__":
    main()
