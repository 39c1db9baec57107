"""What a test may order of a double that is another process.

| `do` | with | answers |
|---|---|---|
| `fault` | `fault`: `name[@nth][xtimes][:content[/action]]` | its number |
| `fired` | `number` of a fault | how often it befell a request |
| `clear-faults`, `unban` | | |
| `lock`, `unlock` | `record`, for a form also `form` | |
| `rights` | `username`, `rights`: name → value | |
| `person` | `record`, `values`, `event`, `form`, `instance` | the instance |
| `remove-field` | `field` | |
| `rows` | | all rows: record, event, form, instance, values |
| `requests` | | `by_kind`, `by_minute`, `busiest_minute`, `entries` |
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tests.redcap_double.double import Double
from tests.redcap_double.faults import parse_fault


class Unknown(ValueError):
    """An order that cannot be followed."""


Order = dict[str, Any]


def perform(double: Double, order: Any) -> Any:
    """Follow an order; what comes back is JSON. Raises `Unknown` or `ValueError`."""
    if not isinstance(order, dict) or order.get("do") not in _ORDERS:
        raise Unknown(f"`do` is one of {', '.join(_ORDERS)}")
    try:
        with double.lock:
            return _ORDERS[order["do"]](double, order)
    except KeyError as missing:
        raise Unknown(f"{order['do']} needs {missing}") from None


def _fault(double: Double, order: Order) -> int:
    double.faults.add(**parse_fault(order["fault"]))
    return len(double.faults.scheduled) - 1


def _fired(double: Double, order: Order) -> int:
    scheduled = double.faults.scheduled
    if not 0 <= order["number"] < len(scheduled):
        raise Unknown("no fault of that number")
    return scheduled[order["number"]].fired


def _lock(double: Double, order: Order) -> None:
    if form := order.get("form"):
        double.lock_form(order["record"], form, event=order.get("event", ""), instance=order.get("instance"))
    else:
        double.lock_record(order["record"])


def _rights(double: Double, order: Order) -> None:
    for user in double.project.users:
        if user.username == order["username"]:
            for name, value in order["rights"].items():
                if not hasattr(user, name):
                    raise Unknown(f"no right {name}")
                setattr(user, name, value)
            return
    raise Unknown("no user of that name")


def _person(double: Double, order: Order) -> int:
    return double.person_writes(
        order["record"],
        order["values"],
        event=order.get("event", ""),
        form=order.get("form", ""),
        instance=order.get("instance"),
    )


def _rows(double: Double, order: Order) -> list[dict[str, Any]]:
    return [
        {
            "record": place.record,
            "event": place.event,
            "form": place.instrument,
            "instance": place.instance,
            "values": values,
        }
        for place, values in double.project.records.rows.items()
    ]


def _requests(double: Double, order: Order) -> dict[str, Any]:
    log = double.requests
    return {
        "by_kind": {f"{content}/{action}": count for (content, action), count in log.by_kind().items()},
        "by_minute": log.by_minute(),
        "busiest_minute": log.busiest_minute(),
        "entries": [{**asdict(entry), "at": entry.at.isoformat()} for entry in log.entries],
    }


_ORDERS: dict[str, Callable[[Double, Order], Any]] = {
    "fault": _fault,
    "fired": _fired,
    "clear-faults": lambda double, order: double.faults.clear(),  # noqa: ARG005
    "unban": lambda double, order: double.unban(),  # noqa: ARG005
    "lock": _lock,
    "unlock": lambda double, order: double.unlock(order["record"]),
    "rights": _rights,
    "person": _person,
    "remove-field": lambda double, order: double.edit_dictionary(
        lambda dictionary: dictionary.without(order["field"])
    ),
    "rows": _rows,
    "requests": _requests,
}
