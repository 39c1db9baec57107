"""What can go wrong in reporting, one class a failure."""


class FeedUnavailable(Exception):
    """A site database could not be read or written: unreachable, overloaded, or its answer makes no sense.

    An implementation of `SiteFeed` raises it for its own transport's errors. Only that site backs off.
    """


class BodiesTooLarge(Exception):
    """Several documents were asked for at once, and together they are larger than memory is meant to hold."""


class SourceReplaced(Exception):
    """The site database was recreated or restored while a batch was read from it."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"Site {site}: {self.__doc__}")


class StaleBatch(Exception):
    """Another projector, or a restored Postgres, has moved the checkpoint that this batch was read from."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"Site {site}: {self.__doc__}")
