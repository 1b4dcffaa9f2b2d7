"""Interval arithmetic and formulas."""

import ast
import operator
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paper2board.report.arithmetic import FormulaError, Interval, evaluate, exact, names

rationals = st.fractions(min_value=-50, max_value=50, max_denominator=64)


@st.composite
def points(draw: st.DrawFn) -> tuple[Interval, Fraction]:
    """An interval and a point in it."""
    low, point, high = sorted(draw(st.tuples(rationals, rationals, rationals)))
    return Interval(low, high), point


OPERATIONS = [operator.add, operator.sub, operator.mul, operator.truediv]


@given(points(), points(), st.sampled_from(OPERATIONS))
def test_operations_hold_every_result(a, b, operation):
    (left, x), (right, y) = a, b
    if operation is operator.truediv:
        assume(not right.lower <= 0 <= right.upper)
    result = operation(left, right)
    assert result.lower <= operation(x, y) <= result.upper


@given(points(), st.integers(-4, 6))
def test_powers_hold_every_result(a, exponent):
    interval, x = a
    assume(exponent >= 0 or not interval.lower <= 0 <= interval.upper)
    result = interval ** exact(exponent)
    assert result.lower <= x**exponent <= result.upper


@given(points(), points())
def test_an_operation_on_single_points_is_exact(a, b):
    (_, x), (_, y) = a, b
    assert exact(x) * exact(y) - exact(x) == exact(x * y - x)


FORMULAS = st.recursive(
    st.sampled_from(["a", "b", "c", "2", "0.1"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
        st.builds("({} ** {})".format, inner, st.integers(0, 3)),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("round({})".format, inner),
        st.builds("(-{})".format, inner),
    ),
    max_leaves=6,
)


@given(FORMULAS, points(), points(), points())
def test_formulas_hold_every_result(formula, a, b, c):
    ids = dict(zip("abc", (a, b, c), strict=True))
    result = evaluate(formula, {name: interval for name, (interval, _) in ids.items()})
    at_point = evaluate(formula, {name: exact(point) for name, (_, point) in ids.items()})
    assert at_point.lower == at_point.upper
    assert result.lower <= at_point.lower <= result.upper


@given(FORMULAS, rationals)
def test_formulas_agree_with_python_where_floats_are_not_involved(formula, x):
    values = {"a": x, "b": Fraction(3), "c": Fraction(-1, 2)}
    formula = formula.replace("0.1", "7")
    tree = compile(ast.parse(formula, mode="eval"), "test", "eval")
    wanted = eval(tree, {"__builtins__": {"min": min, "max": max, "round": round}}, values)
    assert evaluate(formula, {name: exact(value) for name, value in values.items()}) == exact(wanted)


def test_a_float_means_its_decimal():
    assert evaluate("0.1 + 0.2", {}) == exact("0.3")


def test_even_power_of_an_interval_around_zero():
    assert Interval(Fraction(-2), Fraction(1)) ** exact(2) == Interval(Fraction(0), Fraction(4))


def test_names_leave_functions_out():
    assert names("round(100 * a / max(b, c_2))") == {"a", "b", "c_2"}


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('true')",
        "a.real",
        "a[0]",
        "[a][0]",
        "a if a else a",
        "a and a",
        "a < 2",
        "lambda: 1",
        "abs(a)",
        "round(a, 2)",
        "round()",
        "min(*a)",
        "max(a, key=a)",
        "'1'",
        "True",
        "1j",
        "1e999",
        "a // 2",
        "a % 2",
        "a @ a",
        "~a",
        "a ** 0.5",
        "a ** 65",
        "2 ** a",
        "a / (b - b)",
        "unknown",
        "a +",
        "a = 1",
        "",
        "a; a",
    ],
)
def test_anything_else_is_refused(formula):
    values = {"a": Interval(Fraction(1), Fraction(2)), "b": Interval(Fraction(1), Fraction(2))}
    with pytest.raises(FormulaError):
        evaluate(formula, values)


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="above"):
        Interval(Fraction(2), Fraction(1))
