"""A Chromium on a machine where nobody installed one.

npm carries one: a package of headless Chromium with the libraries that it needs (NSS, expat) and a font, all
packed with brotli. `npm ci` brings 67 MB, 210 MB unpacked; no root, no other download. It is pinned, and so
are the fonts: pages look the same on every machine. Where it cannot run (it is for Linux on x86-64), a
Chromium or Chrome on the PATH is taken.

| what happens | what follows |
|---|---|
| `CHROMIUM` names a browser | that one is taken, and no other |
| another machine than Linux on x86-64, or a C library that is too old | the one on the PATH |
| none of all these runs | the tests are skipped, and say why; in CI they fail |
| no Node, no npm, no registry | the same: the accessibility checker comes from npm too |
| unpacking was killed | the next run installs anew |
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests import npm_packages

HERE: Final = Path(__file__).parent
MODULES: Final = HERE / "node_modules"
AXE: Final = MODULES / "axe-core" / "axe.min.js"
UNPACKED: Final = MODULES / ".chromium"

_ON_PATH: Final = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
_FONTS: Final = f"""<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{UNPACKED / "fonts"}</dir>
  <dir>{MODULES / "dejavu-fonts-ttf" / "ttf"}</dir>
  <cachedir>{UNPACKED / "font-cache"}</cachedir>
  <alias><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""


class _NoneRuns(Exception):
    """Neither npm's Chromium (for Linux on x86-64) nor one on the PATH runs; CHROMIUM can name one."""


@dataclass(frozen=True)
class Chromium:
    """An executable, and the environment variables that it needs."""

    executable: str
    environment: dict[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """A Chromium that runs here; without one skips, or fails in CI."""
    try:
        npm_packages.node(HERE, _unpack)
        _name_fonts()
        return _first_that_runs()
    except (npm_packages.CannotInstall, _NoneRuns) as why:
        npm_packages.missing(f"A real browser cannot run: {why}")


def _first_that_runs() -> Chromium:
    reasons = []
    for candidate in _candidates():
        reason = _why_not(candidate)
        if reason is None:
            return candidate
        reasons.append(f"\n{candidate.executable}: {reason}")
    raise _NoneRuns(f"{_NoneRuns.__doc__}{''.join(reasons)}")


def _candidates() -> Iterator[Chromium]:
    fonts = {"FONTCONFIG_FILE": str(UNPACKED / "fonts.conf")}
    if named := os.environ.get("CHROMIUM"):
        yield Chromium(named, fonts)
        return
    if sys.platform == "linux" and platform.machine() == "x86_64":
        libraries = {"LD_LIBRARY_PATH": str(UNPACKED / "al2023" / "lib")}
        yield Chromium(str(UNPACKED / "chromium"), libraries | fonts)
    yield from (Chromium(found, fonts) for name in _ON_PATH if (found := shutil.which(name)))


def _why_not(candidate: Chromium) -> str | None:
    try:
        done = subprocess.run(
            [candidate.executable, "--version"],
            env=os.environ | candidate.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except OSError as error:
        return f"{error.strerror}."
    except subprocess.TimeoutExpired:
        return "does not tell its version."
    return None if done.returncode == 0 else f"ended with {done.returncode}: {done.stderr[-300:].strip()}."


def _unpack(node: str) -> None:
    """Unpack the browser, its libraries and its font, once after each `npm ci`."""
    packed = MODULES / "@sparticuz" / "chromium" / "bin"
    UNPACKED.mkdir()
    subprocess.run(
        [node, str(HERE / "unpack.mjs"), str(packed)], env=os.environ | {"TMPDIR": str(UNPACKED)}, check=True
    )
    (UNPACKED / "chromium").chmod(0o755)


def _name_fonts() -> None:
    """Where its fonts are, also after the checkout was moved; several processes do it at once."""
    named = UNPACKED / "fonts.conf"
    if not named.exists() or named.read_text() != _FONTS:
        written = UNPACKED / f"fonts.{os.getpid()}"
        written.write_text(_FONTS)
        written.replace(named)
