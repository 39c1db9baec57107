"""Pages and forms say what they ask of the API."""

from sync_server.api.routes import API_ROUTES
from sync_server.portal.routes import PAGES


def test_every_page_and_form_is_of_routes_of_the_api_and_no_two_have_one_name() -> None:
    known = {id(route) for route in API_ROUTES}
    for page in PAGES:
        routes = [*page.reads, *page.also, *(form.calls for form in page.forms)]
        routes += [form.tries for form in page.forms if form.tries is not None]
        assert all(id(route) in known for route in routes), page.name
        assert page.reads, page.name
        assert all(route.method == "GET" for route in (*page.reads, *page.also)), page.name
        assert all(form.calls.method != "GET" for form in page.forms), page.name
        assert not any(route.plain and route.asked is None for route in routes), page.name
    names = [page.name for page in PAGES]
    forms = [form.name for page in PAGES for form in page.forms]
    assert sorted(set(names)) == sorted(names)
    assert sorted(set(forms)) == sorted(forms)
    assert {page.area for page in PAGES if page.area is not None} <= set(names)


def test_no_field_has_the_name_of_what_every_form_carries() -> None:
    own = {"form", "token", "key", "version", "try", "back"}
    fields = {field.name for page in PAGES for form in page.forms for field in form.fields}
    assert fields & own == set()
