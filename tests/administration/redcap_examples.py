"""Examples of the routes of `/api/redcap`."""

from tests.administration.example import Example

_NUMBER = {"id": "{number}"}
_PROJECT = {"project": "key@{site}"}
_STUDY = {"study": "{study}"}

REDCAP: dict[tuple[str, str], Example] = {
    ("GET", "/api/redcap/connections"): Example(),
    ("POST", "/api/redcap/connections"): Example(
        reach="study and site",
        body={
            "study": "{study}",
            "site": "{site}",
            "url": "ftp://host.example",
            "token": "0123456789abcdef0123456789abcdef",
        },
    ),
    ("GET", "/api/redcap/connections/{id}"): Example(reach="study and site", path=_NUMBER),
    ("PATCH", "/api/redcap/connections/{id}"): Example(reach="study and site", path=_NUMBER, body={}),
    ("DELETE", "/api/redcap/connections/{id}"): Example(reach="study and site", path=_NUMBER),
    ("POST", "/api/redcap/connections/{id}/test"): Example(reach="study and site", path=_NUMBER),
    ("GET", "/api/redcap/mappings/{study}"): Example(reach="study", path=_STUDY, may_be_missing=True),
    ("PUT", "/api/redcap/mappings/{study}"): Example(
        reach="study", path=_STUDY, body={"mapping": "no mapping"}
    ),
    ("POST", "/api/redcap/mappings/{study}/check"): Example(
        reach="study", path=_STUDY, body={"mapping": "no mapping"}
    ),
    ("POST", "/api/redcap/{study}/preview"): Example(
        reach="study seen", path=_STUDY, body={}, may_be_missing=True
    ),
    ("POST", "/api/redcap/{study}/push"): Example(reach="study", path=_STUDY, body={}, may_be_missing=True),
    ("GET", "/api/redcap/projects"): Example(),
    ("GET", "/api/redcap/projects/{project}"): Example(reach="study and site", path=_PROJECT),
    ("POST", "/api/redcap/projects/{project}/pause"): Example(
        reach="study and site", path=_PROJECT, body={"reason": "why"}
    ),
    ("POST", "/api/redcap/projects/{project}/resume"): Example(reach="study and site", path=_PROJECT),
    ("POST", "/api/redcap/projects/{project}/pull"): Example(reach="study and site", path=_PROJECT, body={}),
    ("GET", "/api/redcap/hosts"): Example(),
    ("POST", "/api/redcap/hosts/{host}/lift-ban"): Example(
        reach="everywhere", path={"host": "host.example:443"}, body={"reason": "why"}
    ),
    ("GET", "/api/redcap/records"): Example(),
    ("POST", "/api/redcap/records/{id}/settle"): Example(
        reach="study and site", path=_NUMBER, body={"member": "language", "keep": "here"}
    ),
    ("GET", "/api/redcap/sessions"): Example(),
    ("GET", "/api/redcap/sessions/{id}"): Example(reach="study and site", path=_NUMBER),
    ("GET", "/api/redcap/sessions/{id}/attempts"): Example(reach="study and site", path=_NUMBER),
    ("POST", "/api/redcap/sessions/{id}/retry"): Example(reach="study and site", path=_NUMBER),
}
