"""Recording what the `sqlite3` module and this process do to the files of one directory.

The functions of SQLite's own VFS that write, truncate, sync, open and delete are wrapped in place, in the
very library that the `sqlite3` module uses: what is recorded is what the store does, not what another build
of SQLite would do. SQLite syncs a directory by opening it first; that system call is wrapped too. Names that
Python changes (`os.rename`, `os.unlink`, `os.fsync` of the directory) are recorded beside.

The layout of the structures is that of SQLite's public header, sqlite3.h (`sqlite3_vfs` version 3,
`sqlite3_io_methods`), which is fixed by its promise of binary compatibility.
"""

import contextlib
import ctypes
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path
from typing import Any
from unittest import mock

from tests.durability.disk import Event, Rename, Sync, SyncDirectory, Told, Truncate, Write

_OPEN_WAL, _OPEN_MAIN_DB, _OPEN_MAIN_JOURNAL = 0x80000, 0x100, 0x800

_Write = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = ctypes.CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = ctypes.CFUNCTYPE(c_int, c_void_p, c_int)
_Open = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_Delete = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_OpenDirectory = ctypes.CFUNCTYPE(c_int, c_char_p, POINTER(c_int))
_SetSystemCall = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GetSystemCall = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p)


class _Methods(Structure):
    _fields_ = (
        ("version", c_int), ("close", c_void_p), ("read", c_void_p), ("write", c_void_p),
        ("truncate", c_void_p), ("sync", c_void_p), ("others", c_void_p * 13),
    )  # fmt: skip


class _File(Structure):
    _fields_ = (("methods", POINTER(_Methods)),)


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int), ("file_bytes", c_int), ("longest_path", c_int), ("next", c_void_p),
        ("name", c_char_p), ("data", c_void_p), ("open", c_void_p), ("delete", c_void_p),
        ("others", c_void_p * 11), ("set_system_call", c_void_p), ("get_system_call", c_void_p),
        ("next_system_call", c_void_p),
    )  # fmt: skip


def _default_vfs() -> _Vfs:
    module: Any = sys.modules["_sqlite3"]
    # Looked up through the module, so that it is found in whatever library the module is linked with.
    library = ctypes.CDLL(getattr(module, "__file__", None))
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [c_char_p]
    found: _Vfs = library.sqlite3_vfs_find(None).contents
    return found


class Recorder:
    """The events below one directory, while `recording` is open."""

    def __init__(self, directory: Path) -> None:
        self.events: list[Event] = []
        self._directory = directory
        self._lock = threading.RLock()
        self._names: dict[str, int] = {}
        self._files: dict[int, int] = {}
        self._count = 0

    def tell(self, what: str, value: object = None) -> None:
        """Note that something was promised now."""
        with self._lock:
            self.events.append(Told(what, value))

    def _inside(self, path: str | os.PathLike[str]) -> str | None:
        absolute = Path(path).absolute()
        return absolute.name if absolute.parent == self._directory else None

    def opened(self, pointer: int, path: str) -> None:
        name = self._inside(path)
        self._files.pop(pointer, None)
        if name is None:
            return
        with self._lock:
            if name not in self._names:
                self._count += 1
                self._names[name] = self._count
                self.events.append(Rename(self._count, None, name))
            self._files[pointer] = self._names[name]

    def changed(self, pointer: int, make: Callable[[int], Event]) -> None:
        with self._lock:
            file = self._files.get(pointer)
            if file is not None:
                self.events.append(make(file))

    def renamed(self, old: str | os.PathLike[str], new: str | os.PathLike[str] | None) -> None:
        before, after = self._inside(old), None if new is None else self._inside(new)
        with self._lock:
            file = self._names.pop(before or "", None)
            if file is None:
                return
            if after is not None:
                self._names[after] = file
            self.events.append(Rename(file, before, after))

    def directory_synced(self, path: Path) -> None:
        if path.absolute() == self._directory:
            with self._lock:
                self.events.append(SyncDirectory())


class _Shim:
    """SQLite's functions, wrapped. The wrappers live as long as this object."""

    def __init__(self, vfs: _Vfs, recorder: Recorder) -> None:
        self._vfs = vfs
        self._recorder = recorder
        self._methods: dict[int, _Methods] = {}
        self._kept: list[Any] = []
        self._open = _Open(vfs.open)
        self._delete = _Delete(vfs.delete)
        self._before = (vfs.open, vfs.delete)
        get = _GetSystemCall(vfs.get_system_call)
        self._open_directory = _OpenDirectory(get(ctypes.addressof(vfs), b"openDirectory"))

    def install(self) -> None:
        self._vfs.open = self._keep(_Open(self._opening))
        self._vfs.delete = self._keep(_Delete(self._deleting))
        self._set_open_directory(self._keep(_OpenDirectory(self._opening_directory)))

    def remove(self) -> None:
        self._vfs.open, self._vfs.delete = self._before
        self._set_open_directory(None)

    def _set_open_directory(self, function: int | None) -> None:
        _SetSystemCall(self._vfs.set_system_call)(ctypes.addressof(self._vfs), b"openDirectory", function)

    def _keep(self, function: Any) -> int:
        self._kept.append(function)
        return cast(function, c_void_p).value or 0

    def _opening(self, vfs: int, path: int | None, file: int, flags: int, out: Any) -> int:
        outcome: int = self._open(vfs, path, file, flags, out)
        if outcome == sqlite3.SQLITE_OK and path and flags & (_OPEN_MAIN_DB | _OPEN_WAL | _OPEN_MAIN_JOURNAL):
            self._recorder.opened(file, os.fsdecode(ctypes.string_at(path)))
            of_sqlite = _File.from_address(file)
            of_sqlite.methods = ctypes.pointer(self._wrapped(of_sqlite.methods))
        return outcome

    def _wrapped(self, methods: Any) -> _Methods:
        address = ctypes.addressof(methods.contents)
        if address in self._methods:
            return self._methods[address]
        own = _Methods.from_buffer_copy(methods.contents)
        write, truncate, sync = _Write(own.write), _Truncate(own.truncate), _Sync(own.sync)
        tell = self._recorder.changed

        def writing(file: int, data: int, size: int, offset: int) -> int:
            content = ctypes.string_at(data, size)
            tell(file, lambda number: Write(number, offset, content))
            return int(write(file, data, size, offset))

        def truncating(file: int, size: int) -> int:
            tell(file, lambda number: Truncate(number, size))
            return int(truncate(file, size))

        def syncing(file: int, flags: int) -> int:
            # Before it, not after: what another connection writes meanwhile is not covered.
            tell(file, Sync)
            return int(sync(file, flags))

        own.write = self._keep(_Write(writing))
        own.truncate = self._keep(_Truncate(truncating))
        own.sync = self._keep(_Sync(syncing))
        # The copy wraps these already, whichever file it is found on.
        self._methods[address] = self._methods[ctypes.addressof(own)] = own
        return own

    def _deleting(self, vfs: int, path: bytes, sync_directory: int) -> int:
        outcome: int = self._delete(vfs, path, 0)
        self._recorder.renamed(os.fsdecode(path), None)
        if sync_directory and outcome == sqlite3.SQLITE_OK:
            self._recorder.directory_synced(Path(os.fsdecode(path)).parent)
        return outcome

    def _opening_directory(self, path: bytes, descriptor: Any) -> int:
        outcome: int = self._open_directory(path, descriptor)
        # Of the file whose directory it opens; nothing else of this process comes between this and the sync.
        self._recorder.directory_synced(Path(os.fsdecode(path)).parent)
        return outcome


@contextlib.contextmanager
def recording(directory: Path) -> Iterator[Recorder]:
    """Record what is done to the files of an empty directory."""
    recorder = Recorder(directory.resolve())
    shim = _Shim(_default_vfs(), recorder)
    rename, unlink, fsync = os.rename, os.unlink, os.fsync

    def renaming(old: Any, new: Any, **options: Any) -> None:
        rename(old, new, **options)
        recorder.renamed(old, new)

    def unlinking(path: Any, **options: Any) -> None:
        unlink(path, **options)
        recorder.renamed(path, None)

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode) and about.st_ino == directory.stat().st_ino:
            recorder.directory_synced(directory.resolve())

    shim.install()
    try:
        with mock.patch.multiple(os, rename=renaming, unlink=unlinking, fsync=syncing):
            yield recorder
    finally:
        shim.remove()
