"""The keys of a deployment, which decide what a restored one is worth.

| file in `DATA_DIR/keys` | without it |
|---|---|
| `device-signing.pem` | every credential ends: all tablets and hubs have to be enrolled again |
| `data-encryption.key` | contacts and secrets cannot be opened, what was erased is not recognised again |

`DATA_ENCRYPTION_KEYS`, where it is set, stands for the second; it is kept where the settings are.

A set holds no keys unless it is asked to: whoever has dump and key can read the contacts that the key is to
protect. It always holds marks by which a restore recognises the right ones.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sync_server.backup.manifest import File, KeyMarks
from sync_server.identity.signing_key_file import load_or_create_signing_key, signing_key_path
from sync_server.key_file import load_or_create_key
from sync_server.sealing import Sealer, load_sealer

ENCRYPTION_KEY = "data-encryption.key"
_MARKED = "metricis backup 1"


class WrongKeys(Exception):
    """The keys at hand are not those of the set; the message says which and what follows."""


def marks_of(data_dir: Path, encryption_keys: tuple[str, ...]) -> KeyMarks:
    """What the deployment's keys are recognised by. Raises UnusableSigningKey, UnusableKey, OSError."""
    public = load_or_create_signing_key(data_dir).verifier.public_pem
    sealer = load_sealer(encryption_keys, data_dir)
    return KeyMarks(hashlib.sha256(public).hexdigest(), _encryption_marks(sealer))


def _encryption_marks(sealer: Sealer) -> list[str]:
    return [mark.hex() for mark in sealer.fingerprints(_MARKED)]


def copy_keys(data_dir: Path, target: Path) -> list[File]:
    """Copy every key of a data directory to a new directory, mode 0600. Raises OSError."""
    target.mkdir(mode=0o700)
    files = []
    for path in sorted((data_dir / "keys").iterdir()):
        if path.is_file() and not path.name.startswith("."):
            content = path.read_bytes()
            _write_unless_there(target / path.name, content)
            files.append(File(path.name, len(content), hashlib.sha256(content).hexdigest()))
    return files


def place_keys(source: Path, files: Sequence[File], data_dir: Path) -> None:
    """Put a set's keys where the deployment looks for them. Raises WrongKeys for another one that is there,
    ReadableByOthers, OSError.
    """
    for file in files:
        content = (source / file.name).read_bytes()
        target = data_dir / "keys" / file.name
        if _write_unless_there(target, content) != content:
            raise WrongKeys(f"{target} is another key than the set's: move it away first.")


def _write_unless_there(path: Path, content: bytes) -> bytes:
    """What is in the file then."""
    return load_or_create_key(path, lambda: content)


def check_keys(marks: KeyMarks, data_dir: Path, encryption_keys: tuple[str, ...]) -> None:
    """Refuse to go on without the keys of the set. Raises WrongKeys, and the errors of `marks_of`."""
    absent = [] if signing_key_path(data_dir).exists() else [str(signing_key_path(data_dir))]
    if not encryption_keys and not (data_dir / "keys" / ENCRYPTION_KEY).exists():
        absent.append(str(data_dir / "keys" / ENCRYPTION_KEY))
    if absent:
        raise WrongKeys(
            f"The set holds no keys, and these are not there: {', '.join(absent)}. Put them there (mode "
            "0600) from where they are kept. Without the signing key all tablets have to be enrolled again; "
            "without the encryption key contacts cannot be opened and what was erased is not recognised. "
            "--new-keys goes on without them."
        )
    found = marks_of(data_dir, encryption_keys)
    wrong = []
    if found.signing != marks.signing:
        wrong.append("the signing key is another one (all tablets would have to be enrolled again)")
    if not set(marks.encryption) <= set(found.encryption):
        wrong.append("an encryption key is missing or another one (contacts could not be opened)")
    if wrong:
        raise WrongKeys(
            f"These are not the keys of the set: {'; '.join(wrong)}. --new-keys goes on with them."
        )
