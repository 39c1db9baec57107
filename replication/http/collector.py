"""The garbage collector of a process that serves feeds."""

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 100


def collect_seldom() -> None:
    """Look for garbage in cycles less often; call it once, when everything is imported.

    A thousand feeds that wake at once make some ten thousand objects within a tenth of a second. By default
    that is a dozen collections, each of which looks at what all the feeds hold, while all of them wait: the
    last feed hears a third later for it. What is garbage is nearly always free at once, without the
    collector: `docs/PERFORMANCE.md`.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
