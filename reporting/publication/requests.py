"""Asking for publication, in the transaction of a change.

| changed | asked for |
|---|---|
| one participant, visit | their document at their site (of a moved participant: at both) |
| study, battery, item bank, consent form | their document at each site of the studies that use it |
| a study is added to or removed from a site, starts or ends | the whole site |

A whole site is compared with what it has to be, document by document: no cause can be forgotten by it.
"""

from collections.abc import Iterable

from sqlalchemy.dialects.postgresql import Insert

from reporting.outbox.entry import Entry, enter_again

KIND = "publication"
WHOLE_SITE = "*"


def publish_documents(documents: Iterable[tuple[str, str]]) -> Insert:
    """Statement: bring these (site, document id) up to date; at least one. Ids as tablets see them:
    `participant:SRO/s012`.
    """
    return enter_again(
        Entry(
            kind=KIND,
            key=f"{site}/{doc_id}",
            study=study_named_by(doc_id),
            site=site,
            payload={"site": site, "doc_id": doc_id},
        )
        for site, doc_id in documents
    )


def study_named_by(doc_id: str) -> str | None:
    """The study that a document belongs to. Other studies of its site are not told of it: participants'
    codes are in its id. None for what studies share.
    """
    kind, _, name = doc_id.partition(":")
    return name.partition("/")[0] if kind in ("study", "consent_form", "participant", "visit") else None


def publish_sites(sites: Iterable[str]) -> Insert:
    """Statement: bring everything at these sites up to date; at least one."""
    return publish_documents((site, WHOLE_SITE) for site in sites)


def study_document(study: str) -> str:
    """`study:SRO`"""
    return f"study:{study}"


def battery_document(battery: str, version: int) -> str:
    """`battery:self-regulation@1`"""
    return f"battery:{battery}@{version}"


def item_bank_document(item_bank: str, version: int) -> str:
    """`item_bank:vocabulary@1`"""
    return f"item_bank:{item_bank}@{version}"


def consent_form_document(form: str, version: int) -> str:
    """`consent_form:SRO/main@1`"""
    return f"consent_form:{form}@{version}"


def participant_document(study: str, participant: str) -> str:
    """`participant:SRO/s012`: codes are unique in their study only."""
    return f"participant:{study}/{participant}"


def visit_document(study: str, participant: str, visit: str) -> str:
    """`visit:SRO/s012/baseline`"""
    return f"visit:{study}/{participant}/{visit}"
