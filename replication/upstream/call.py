"""One request as a handler of the gateway sees it, and what it is called at the server behind.

The path is made anew of what was authorised, not passed on as it came: a spelling that the policy reads in
one way and the other server in another (`+`, an encoded prefix, `..` that a proxy folds) names the same thing
to both then. Ids keep every character, also an encoded slash.

The query of what writes is made anew too, of the parameters that the write may have: CouchDB has some that
change when it is answered (`batch`: before it is on disk; `w`: on how many nodes).
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from replication.errors import BadRequest
from replication.http.call import Asked
from replication.upstream.exchange import Upstream

_PARAMETER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_WITH_SLASHES = frozenset({"rest", "detail"})
"""Parameters that are several segments of a path, and no id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamCall(Asked):
    """A request that the server behind answers. `route` is the path of its line in the table, `prefix` what
    stands before it here.
    """

    upstream: Upstream
    route: str
    prefix: str

    @property
    def path(self) -> str:
        """The path at the server behind, percent-encoded. Raises BadRequest for one that is none."""
        path = _PARAMETER.sub(lambda found: self._quoted(found[1]), self.route)
        if not {".", ".."}.isdisjoint(path.split("/")):
            raise BadRequest("a segment of the path is a dot or two, which says something else in a URL")
        return path

    def _quoted(self, name: str) -> str:
        value = self.request.match_info[name]
        if name in _WITH_SLASHES:
            return quote(value)
        if name == "doc" and value.startswith("_design/"):
            return "_design/" + quote(value.removeprefix("_design/"), safe="")
        return quote(value, safe="")

    @property
    def query(self) -> str:
        """The query string as it came, for what reads."""
        return self.request.rel_url.raw_query_string

    def query_of(self, *names: str) -> str:
        """A query string of these parameters and no others; of one that comes twice, the first."""
        given = self.request.query
        return urlencode({name: given[name] for name in names if name in given}, quote_via=quote)

    def database_path(self, *parts: str) -> str:
        """The path of something in the database of the request."""
        return "/" + "/".join(quote(part, safe="") for part in (self.database_name, *parts))
