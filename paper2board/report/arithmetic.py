"""Interval arithmetic over exact rationals, and the formulas of a claims ledger.

A printed number stands for the interval of values that round to it. A formula over printed numbers
therefore has an interval too, and contradicts a printed result exactly when the two do not meet. Rationals
keep the edges exact: 3.825 does round to 3.83, and no float decides otherwise.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

EXPONENT_LIMIT = 64


class FormulaError(ValueError):
    """A formula that is not arithmetic over known ids, or has no finite value."""


@dataclass(frozen=True)
class Interval:
    """A closed interval of rationals; operations return bounds that hold every possible result."""

    lower: Fraction
    upper: Fraction

    def __post_init__(self) -> None:
        if self.lower > self.upper:
            raise ValueError(f"lower bound {self.lower} is above upper bound {self.upper}")

    @classmethod
    def hull(cls, *values: Fraction) -> "Interval":
        """Return the smallest interval that holds ``values``."""
        return cls(min(values), max(values))

    def intersects(self, other: "Interval") -> bool:
        """Return whether some value lies in both."""
        return self.lower <= other.upper and other.lower <= self.upper

    def map(self, function: Callable[[Fraction], Fraction]) -> "Interval":
        """Return the image under a monotonic ``function``."""
        return Interval.hull(function(self.lower), function(self.upper))

    def __neg__(self) -> "Interval":
        return Interval(-self.upper, -self.lower)

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.lower + other.lower, self.upper + other.upper)

    def __sub__(self, other: "Interval") -> "Interval":
        return self + -other

    def __mul__(self, other: "Interval") -> "Interval":
        return Interval.hull(*(a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)))

    def __truediv__(self, other: "Interval") -> "Interval":
        if other.lower <= 0 <= other.upper:
            raise FormulaError("divides by something that may be zero")
        return self * other.map(lambda value: 1 / value)

    def __pow__(self, other: "Interval") -> "Interval":
        exponent = other.lower
        if other.lower != other.upper or exponent.denominator != 1 or abs(exponent) > EXPONENT_LIMIT:
            raise FormulaError(f"has an exponent that is not a whole number up to ±{EXPONENT_LIMIT}")
        if exponent < 0:
            return exact(1) / self**-other
        power = self.map(lambda value: value ** int(exponent))
        if exponent % 2 == 0 and exponent > 0 and self.lower < 0 < self.upper:
            return Interval(Fraction(0), power.upper)
        return power


def exact(value: int | float | Fraction | str) -> Interval:
    """Return the interval of one value; a float means its shortest decimal (0.1 is one tenth)."""
    point = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    return Interval(point, point)


_OPERATORS: dict[type[ast.operator], Callable[[Interval, Interval], Interval]] = {
    ast.Add: Interval.__add__,
    ast.Sub: Interval.__sub__,
    ast.Mult: Interval.__mul__,
    ast.Div: Interval.__truediv__,
    ast.Pow: Interval.__pow__,
}


def _minimum(*values: Interval) -> Interval:
    return Interval(min(value.lower for value in values), min(value.upper for value in values))


def _maximum(*values: Interval) -> Interval:
    return Interval(max(value.lower for value in values), max(value.upper for value in values))


def _rounded(value: Interval) -> Interval:
    """Round to whole numbers, halves to even as Python does (monotonic)."""
    return value.map(lambda point: Fraction(round(point)))


_FUNCTIONS: dict[str, Callable[..., Interval]] = {"min": _minimum, "max": _maximum, "round": _rounded}


def names(formula: str) -> set[str]:
    """Return the ids that ``formula`` mentions; raise :class:`FormulaError` if it is not an expression."""
    return {
        node.id
        for node in ast.walk(_parse(formula))
        if isinstance(node, ast.Name) and node.id not in _FUNCTIONS
    }


def evaluate(formula: str, values: Mapping[str, Interval]) -> Interval:
    """Return the interval of ``formula``: + - * / **, min, max, round, numbers and the ids of ``values``.

    Raises:
        FormulaError: anything else stands in the formula, or it may divide by zero.
    """
    return _evaluate(_parse(formula), values)


def _parse(formula: str) -> ast.expr:
    try:
        return ast.parse(" ".join(formula.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise FormulaError("is not an arithmetic expression") from error


def _evaluate(node: ast.expr, values: Mapping[str, Interval]) -> Interval:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            try:
                return exact(number)
            except ValueError as error:
                raise FormulaError("has a number that is not finite") from error
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            raise FormulaError(f"names {name}, which is no claim or constant")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, values)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](_evaluate(left, values), _evaluate(right, values))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as arguments, keywords=[]) if name in _FUNCTIONS:
            if name == "round" and len(arguments) != 1:
                raise FormulaError("rounds with more than one argument")
            return _FUNCTIONS[name](*(_evaluate(argument, values) for argument in arguments))
    raise FormulaError(
        f"holds {ast.unparse(node)!r}, which is not + - * / ** min max round, a number or an id"
    )
