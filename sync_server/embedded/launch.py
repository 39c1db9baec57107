"""Become a server process that neither outlives its supervisor nor runs as root.

Run as `python -I -S launch.py --parent PID --death-signal N --directory D [--uid U --gid G] --
program …`, in the directory D.
Standard library only: it runs without the environment's packages, and is replaced by `program` within
milliseconds.

- **Death signal.** Linux sends it to the program when the supervisor dies, `kill -9` included: a fast
  shutdown instead of an orphan that holds the data. The kernel forgets the request when the user changes, so
  it is made last; and the supervisor may be dead before it is made, hence the look at the parent afterwards.
  (It watches the supervisor's *thread* that started us: that must be one that lives as long as the system.)
- **Root.** Postgres refuses to run as root, so as root we change to an account without privileges.
- **Directories in between.** That account may be unable to reach the data or the program: both can lie
  below a directory that is closed to others (`/root`, a temporary directory). Then, and only then, the
  program keeps one capability:

  | to the account, the data and the program are | root holds | the program keeps |
  |---|---|---|
  | reachable | anything | nothing |
  | behind a closed directory | CAP_DAC_READ_SEARCH | that: it may pass and read, not write |
  | behind one, and not executable; or root lacks the above (Docker) | CAP_DAC_OVERRIDE | that |
  | behind one | neither | is not started: a sentence names the directory |
"""

import argparse
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

EXIT_CODE_REFUSED = 78

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_SETPCAP = 8


class LaunchRefused(Exception):
    """The program cannot be started under the account; the message is a sentence for the log."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    """Capability sets; the kernel takes two, of which the second holds capabilities 32 and above."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)))


def _permitted_capabilities() -> int:
    """The permitted set's capabilities below 32, as bits."""
    words = (_Word * 2)()
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(words)))
    return int(words[0].permitted)


def _set_capabilities(*, effective: int, permitted: int, inheritable: int = 0) -> None:
    words = (_Word * 2)(_Word(effective, permitted, inheritable), _Word(0, 0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(words)))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def first_closed(program: Path, directory: Path) -> Path | None:
    """What keeps this process from running `program` in `directory`: a directory, or the program itself.

    None: nothing does.
    """
    for path in (program, directory / "any"):
        for step in (*reversed(path.parents), path):
            try:
                step.stat()
            except PermissionError:
                return step.parent
            except FileNotFoundError:
                break
    # The question that Postgres asks about itself, in the same words: `access` has rules of its own.
    return None if os.access(program, os.R_OK | os.X_OK) else program


def become(uid: int, gid: int, *, program: Path, directory: Path) -> None:
    """Change from root to the account `uid`:`gid`, still able to run `program` in `directory`.

    Raises LaunchRefused when the account may not, and no capability helps.
    """
    _prctl(_PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise LaunchRefused(f"Root cannot change to the account {uid}: {error.strerror}.") from error
    # The change of user emptied the effective set: what is reachable now is reachable to the bare account.
    closed = first_closed(program, directory)
    if closed is None:
        _set_capabilities(effective=0, permitted=0)
        return
    held = _permitted_capabilities()
    if held & (1 << _CAP_SETPCAP):
        # Otherwise `access` answers as if an account other than root never had a capability.
        _set_capabilities(effective=1 << _CAP_SETPCAP, permitted=held)
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    for capability in (1 << _CAP_DAC_READ_SEARCH, 1 << _CAP_DAC_OVERRIDE):
        if not held & capability:
            continue
        _set_capabilities(effective=capability, permitted=held)
        if first_closed(program, directory) is None:
            _set_capabilities(effective=capability, permitted=capability, inheritable=capability)
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability.bit_length() - 1)
            return
    raise LaunchRefused(
        f"The account {uid}, which is to run the server, may not use {closed}. Open it to others "
        "(chmod o+x), choose a place below another directory, or start as a user other than root."
    )


def tie_to_parent(parent: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when `parent` dies; exit at once if it is dead already."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        raise LaunchRefused("The supervisor ended before the server started.")


def main(arguments: Sequence[str]) -> None:
    """Prepare this process and replace it by the program; exits with EXIT_CODE_REFUSED if it cannot."""
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        if options.uid is not None:
            become(options.uid, options.gid, program=Path(options.program[0]), directory=options.directory)
        tie_to_parent(options.parent, options.death_signal)
        os.execv(options.program[0], options.program)  # noqa: S606 (no shell is wanted)
    except LaunchRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
    except OSError as error:
        sys.stderr.write(f"{options.program[0]} cannot be started: {error.strerror}.\n")
    raise SystemExit(EXIT_CODE_REFUSED)


if __name__ == "__main__":
    main(sys.argv[1:])
