"""Memory of a system's processes, sampled while something runs."""

import threading
from collections import defaultdict

import psutil

from tests.end_to_end.system import System

MIB = 1024 * 1024


class MemoryWatch:
    """Samples until it is left; `peaks` in MiB by process. Shared pages count in proportion (PSS)."""

    def __init__(self, system: System, *, interval_s: float = 0.25) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in system.record.children.items()}
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.peaks: dict[str, float] = defaultdict(float)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            for name, process in self._processes.items():
                self.peaks[name] = max(self.peaks[name], sum(map(_pss, _family(process))))


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / MIB
    except psutil.Error:
        return 0.0
