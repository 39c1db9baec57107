"""A site's name and its database's."""

import pytest

from reporting.sites import InvalidSiteName, database_of, is_site, site_of


@pytest.mark.parametrize("site", ["lima", "l", "lima-2", "san_jose", "a" * 63])
def test_site_and_database_name_each_other(site: str) -> None:
    assert database_of(site) == f"site-{site}"
    assert site_of(database_of(site)) == site


@pytest.mark.parametrize(
    "name", ["", "Lima", "2lima", "-lima", "a" * 64, "lima/..", "li ma", "lima\n", "lima\0", "líma"]
)
def test_other_names_are_no_sites(name: str) -> None:
    assert not is_site(name)
    assert site_of(f"site-{name}") is None
    with pytest.raises(InvalidSiteName, match="is no site name"):
        database_of(name)


@pytest.mark.parametrize("database", ["lima", "_users", "site", "site-", "Site-lima", "xsite-lima", ""])
def test_other_databases_belong_to_no_site(database: str) -> None:
    assert site_of(database) is None
