"""Quantiles against tables in print and another implementation's digits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.research.f_distribution import f_quantile, regularised_beta, t_quantile

DEGREES = st.floats(1, 500)


@pytest.mark.parametrize(
    ("probability", "df1", "df2", "printed"),
    [
        (0.95, 1, 10, 4.96),
        (0.95, 5, 15, 2.90),
        (0.975, 5, 15, 3.58),
        (0.99, 2, 8, 8.65),
        (0.95, 10, 10, 2.98),
    ],
)
def test_f_quantiles_are_those_of_the_tables_in_print(
    probability: float, df1: float, df2: float, printed: float
) -> None:
    assert round(f_quantile(probability, df1, df2), 2) == printed


@pytest.mark.parametrize(
    ("probability", "df", "printed"),
    [(0.975, 9, 2.262), (0.975, 1, 12.706), (0.95, 30, 1.697), (0.025, 9, -2.262), (0.5, 3, 0.0)],
)
def test_t_quantiles_are_those_of_the_tables_in_print(probability: float, df: float, printed: float) -> None:
    assert round(t_quantile(probability, df), 3) == printed


@pytest.mark.parametrize(
    ("probability", "df1", "df2", "expected"),
    [
        (0.975, 5, 15, 3.5764153492790607),
        (0.95, 1, 10, 4.964602743730711),
        (0.5, 3.7, 2.2, 1.1482046664450247),
        (0.025, 9, 4.5, 0.21785985425729312),
        (0.999, 120, 7, 11.90896160931379),
        (0.975, 2.5, 1020, 3.369937490793796),
        (0.01, 1, 1, 0.0002467807028240945),
        (0.975, 400, 399, 1.2170276669811855),
        (0.975, 1, 1, 647.7890114778442),
        (0.975, 2, 1.5, 101.84855680060167),
        (0.975, 1.5, 2, 38.83497425367428),
        (0.975, 19, 1, 991.7973225187209),
        (0.975, 1, 19, 5.9216312623366525),
        (0.975, 333.3, 12.5, 2.680101479580325),
        (0.975, 10000, 1.2, 338.2587812898569),
        (0.975, 123456, 123456, 1.011218862485631),
    ],
)
def test_f_quantiles_are_those_of_scipy(probability: float, df1: float, df2: float, expected: float) -> None:
    assert f_quantile(probability, df1, df2) == pytest.approx(expected, rel=1e-9)


@given(probability=st.floats(0.001, 0.999), df1=DEGREES, df2=DEGREES)
def test_the_distribution_of_a_quantile_is_its_probability(
    probability: float, df1: float, df2: float
) -> None:
    ratio = f_quantile(probability, df1, df2) * df1 / df2
    found = regularised_beta(df1 / 2, df2 / 2, ratio / (1 + ratio), 1 / (1 + ratio))
    assert math.isclose(found, probability, rel_tol=1e-8)


@given(probability=st.floats(0.001, 0.999), df1=DEGREES, df2=DEGREES)
def test_the_inverse_of_f_is_f_with_its_degrees_of_freedom_exchanged(
    probability: float, df1: float, df2: float
) -> None:
    product = f_quantile(probability, df1, df2) * f_quantile(1 - probability, df2, df1)
    assert math.isclose(product, 1, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("probability", "df1", "df2"),
    [(0, 1, 1), (1, 1, 1), (0.5, 0.5, 1), (0.5, 1, math.nan)],
)
def test_what_has_no_quantile_is_an_error(probability: float, df1: float, df2: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        f_quantile(probability, df1, df2)


def test_a_sample_of_millions_is_as_one_of_a_million() -> None:
    assert t_quantile(0.975, 5e7) == t_quantile(0.975, 1e6) == pytest.approx(1.959964, abs=5e-6)


def test_the_distribution_ends_where_its_values_do() -> None:
    assert regularised_beta(2, 3, 0, 1) == 0
    assert regularised_beta(2, 3, 1, 0) == 1
