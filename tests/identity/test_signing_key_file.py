"""The signing key's file: one key for all processes of a data directory, readable by nobody else."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sync_server.identity.signing_key_file import (
    UnusableSigningKey,
    load_or_create_signing_key,
    signing_key_path,
)

PRINT_KEY_ID = """
import sys
from pathlib import Path
from sync_server.identity.signing_key_file import load_or_create_signing_key
sys.stdin.readline()
print(load_or_create_signing_key(Path(sys.argv[1])).verifier.key_id)
"""


def test_first_use_creates_a_private_file_and_the_second_reads_it(tmp_path: Path) -> None:
    first = load_or_create_signing_key(tmp_path / "data")
    second = load_or_create_signing_key(tmp_path / "data")
    path = signing_key_path(tmp_path / "data")
    assert first.private_pem == second.private_pem == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_start_at_once_end_up_with_one_key(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PRINT_KEY_ID, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    key_ids = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert key_ids == {load_or_create_signing_key(tmp_path).verifier.key_id}
    assert len(list(signing_key_path(tmp_path).parent.iterdir())) == 1


def test_key_that_was_linked_meanwhile_wins_over_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load_or_create_signing_key(tmp_path / "other")
    path = signing_key_path(tmp_path / "data")
    real_link = Path.hardlink_to

    def link_second(self: Path, target: Path) -> None:
        path.write_bytes(other.private_pem)
        path.chmod(0o600)
        real_link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", link_second)
    assert load_or_create_signing_key(tmp_path / "data").private_pem == other.private_pem
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_create_signing_key(tmp_path)
    signing_key_path(tmp_path).chmod(mode)
    with pytest.raises(UnusableSigningKey, match="chmod 600"):
        load_or_create_signing_key(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_file_without_a_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    load_or_create_signing_key(tmp_path)
    path = signing_key_path(tmp_path)
    path.write_bytes(content)
    with pytest.raises(UnusableSigningKey, match="P-256"):
        load_or_create_signing_key(tmp_path)
    assert path.read_bytes() == content
