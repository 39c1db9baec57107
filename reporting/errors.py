"""What can go wrong in reporting, one class a failure."""


class FeedUnavailable(Exception):
    """A site database could not be read or written: unreachable, overloaded, or its answer makes no sense.

    An implementation of `SiteFeed` raises it for its own transport's errors. Only that site backs off.
    """


class FeedRefused(FeedUnavailable):
    """The site databases refuse the projector: its credential, or its rights, are not what they should be.

    Waiting mends nothing, a person has to; it is tried again all the same.
    """


class BodiesTooLarge(Exception):
    """Several documents were asked for at once, and together they are larger than memory is meant to hold."""


class SourceReplaced(Exception):
    """The site database was recreated or restored while a batch was read from it."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"Site {site}: {self.__doc__}")


class NotFollowed(Exception):
    """The projector has not read this site database, or has to read it from its start first."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"Site {site}: {self.__doc__}")


class StaleBatch(Exception):
    """Another projector, or a restored Postgres, has moved the checkpoint that this batch was read from."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"Site {site}: {self.__doc__}")
