"""The manifest: which files there are, rows, hashes, of which data and how far they are complete. Pure.

It holds no time of its making: the same data are the same manifest. What the data are (dataset, filter,
policy of de-identification, watermark a site, outstanding sessions) comes from the caller as JSON.
"""

from collections.abc import Iterable, Mapping

import msgspec

from sync_server.exports.whole_file import Written

VERSION = 1


def manifest(
    files: Iterable[Written], *, data: Mapping[str, object], watermark: Mapping[str, object]
) -> bytes:
    """`manifest.json`, files in the order of their names, every object's members sorted."""
    content = {
        "manifest_version": VERSION,
        "data": data,
        "watermark": watermark,
        "files": [
            {"name": one.name, "rows": one.rows, "bytes": one.size, "sha256": one.sha256, "notes": one.notes}
            for one in sorted(files, key=lambda one: one.name)
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=2) + b"\n"
