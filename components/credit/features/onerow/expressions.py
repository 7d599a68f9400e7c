"""Expressions of the features' SQL as Python source, for rows whose values are exact integers.

A day is its number since 1970, a time its microseconds, an amount its hundredths. Only what the definitions use is
known here; anything else is refused when a model is loaded, never answered differently from DuckDB.
"""

import datetime
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlglot import exp
from sqlglot.expressions import Expr

from components.credit.errors import ModelRefused
from components.credit.features.moments import DAY_US, EPOCH

_EXACT = 2**53  # integers up to here are doubles
_COMPARED: dict[type[Expr], str] = {
    exp.EQ: "==",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
}
_WHOLE = (exp.DType.INT, exp.DType.BIGINT)


@dataclass(frozen=True)
class Value:
    """A value in Python source.

    Args:
        code: The source.
        kind: ``int`` (money too), ``double``, ``day``, ``time``, ``text``, ``flag`` or ``null``.
        scale: Digits of an ``int`` behind the decimal point.
        null: Whether it may be None.
    """

    code: str
    kind: str
    scale: int = 0
    null: bool = False


def untranslated(node: Expr) -> ModelRefused:
    """The refusal of a model whose features are defined by SQL that only DuckDB knows."""
    return ModelRefused(
        f"A feature is defined by SQL that has no translation for one application: {node.sql('duckdb')}; define it "
        "otherwise, or translate it in components/credit/features."
    )


class Expressions:
    """Translates the expressions of one query.

    Args:
        known: Gives the value of a node that stands for a variable (a column, an aggregate), else None.
        names: Numbers for the names of intermediate results.
    """

    def __init__(self, known: Callable[[Expr], Value | None], names: "itertools.count[int]") -> None:
        self._known = known
        self._names = names

    def value(self, node: Expr) -> Value:
        """The value of a node."""
        found = self._known(node)
        if found is not None:
            return found
        kind: Any = type(node)
        if kind in _COMPARED:
            values = self._aligned([self.value(node.this), self.value(node.expression)])
            return self._lifted("flag", 0, values, f"{{}} {_COMPARED[kind]} {{}}")
        translate = _TRANSLATED.get(kind)
        if translate is None:
            raise untranslated(node)
        return translate(self, node)

    def condition(self, node: Expr) -> str:
        """Source that is true where the node is true, and false where it is false or unknown."""
        match node:
            case exp.Paren():
                return self.condition(node.this)
            case exp.And():
                return f"({self.condition(node.left)} and {self.condition(node.right)})"
            case exp.Or():
                return f"({self.condition(node.left)} or {self.condition(node.right)})"
            case exp.Not(this=exp.Is(this=what, expression=exp.Null())):
                value = self.value(what)
                return f"({value.code} is not None)" if value.null else "True"
            case exp.Is(this=what, expression=exp.Null()):
                value = self.value(what)
                return f"({value.code} is None)" if value.null else "False"
            case exp.In(this=what, expressions=among):
                return f"({self.value(what).code} in ({', '.join(self.value(each).code for each in among)},))"
            case exp.Not(this=exp.In(this=what, expressions=among)):
                tests, (code,) = self._tested([self.value(what)])
                listed = ", ".join(self.value(each).code for each in among)
                return (
                    "(" + " and ".join([*(f"{test} is not None" for test in tests), f"{code} not in ({listed},)"]) + ")"
                )
            case exp.Between():
                return self._all([node.this, node.args["low"], node.args["high"]], "{1} <= {0} <= {2}")
            case exp.NullSafeNEQ():
                left, right = self._aligned([self.value(node.this), self.value(node.expression)])
                return f"({left.code} != {right.code})"
        if type(node) in _COMPARED:
            return self._all([node.this, node.expression], f"{{}} {_COMPARED[type(node)]} {{}}")
        value = self.value(node)
        return value.code if value.kind == "flag" else f"({value.code} is True)"

    def _all(self, nodes: list[Expr], form: str) -> str:
        tests, codes = self._tested(self._aligned([self.value(node) for node in nodes]))
        return "(" + " and ".join([*(f"{test} is not None" for test in tests), form.format(*codes)]) + ")"

    def _tested(self, values: list[Value]) -> tuple[list[str], list[str]]:
        """Sources to test for None, in order, and sources of the values once that is done."""
        tests, codes = [], []
        for value in values:
            code = value.code
            if value.null:
                if code.isidentifier():
                    tests.append(code)
                else:
                    name = self.name()
                    tests.append(f"({name} := {code})")
                    code = name
            codes.append(code)
        return tests, codes

    def name(self) -> str:
        """A name for an intermediate result."""
        return f"t{next(self._names)}"

    def _lifted(self, kind: str, scale: int, values: list[Value], form: str) -> Value:
        """A value that is missing where one of ``values`` is."""
        tests, codes = self._tested(values)
        code = form.format(*codes)
        if tests:
            missing = " or ".join(f"{test} is None" for test in tests)
            return Value(f"(None if {missing} else {code})", kind, scale, True)
        return Value(f"({code})", kind, scale)

    def _literal(self, node: Expr) -> Value:
        if node.is_string:
            return Value(repr(node.this), "text")
        if "e" in node.this.lower():
            return Value(repr(float(node.this)), "double")
        whole, _, part = node.this.partition(".")
        return Value(str(int(whole + part)), "int", len(part))

    def _sum(self, node: Expr) -> Value:
        left, right = self.value(node.this), self.value(node.expression)
        sign = "+" if isinstance(node, exp.Add) else "-"
        if left.kind == "int":
            left, right = self._aligned([left, right])
        elif sign == "-" and left.kind == right.kind == "day":
            return self._lifted("int", 0, [left, right], "{} - {}")
        return self._lifted(left.kind, left.scale, [left, right], f"{{}} {sign} {{}}")

    def _product(self, node: Expr) -> Value:
        left, right = self.value(node.this), self.value(node.expression)
        return self._lifted("int", left.scale + right.scale, [left, right], "{} * {}")

    def _whole_quotient(self, node: Expr) -> Value:
        # SQL cuts towards zero, Python floors.
        name = self.name()
        above, below = self.value(node.this), self.value(node.expression)
        form = f"{name} // {{1}} if ({name} := {{0}}) >= 0 else -(-{name} // {{1}})"
        return self._lifted("int", 0, [above, below], form)

    def _case(self, node: Expr) -> Value:
        branches = [(self._when(node, each), self.value(each.args["true"])) for each in node.args["ifs"]]
        default = node.args.get("default")
        last = Value("None", "null", null=True) if default is None else self.value(default)
        *values, last = self._aligned([*(value for _, value in branches), last])
        code = last.code
        for (condition, _), value in zip(reversed(branches), reversed(values), strict=True):
            code = f"({value.code} if {condition} else {code})"
        return replace(values[0], code=code, null=any(value.null for value in [*values, last]))

    def _when(self, node: Expr, each: Expr) -> str:
        return self.condition(exp.EQ(this=node.this, expression=each.this) if node.this else each.this)

    def _coalesce(self, node: Expr) -> Value:
        *values, last = self._aligned([self.value(each) for each in [node.this, *node.expressions]])
        code = last.code
        for value in reversed(values):
            if not value.null:
                code = value.code
            else:
                (test,), (name,) = self._tested([value])
                code = f"({name} if {test} is not None else {code})"
        return replace(last, code=code, kind=values[0].kind, null=last.null and all(value.null for value in values))

    def _extreme(self, node: Expr) -> Value:
        """Greatest or least of two; a missing one does not count."""
        left, right = self._aligned([self.value(each) for each in [node.this, *node.expressions]])
        sign = ">=" if isinstance(node, exp.Greatest) else "<="
        tests, (first, second) = self._tested([left, right])
        code = f"({first} if {first} {sign} {second} else {second})"
        if left.null and right.null:
            one, other = tests
            code = f"({second} if {one} is None else {first} if {other} is None else {code})"
            code = code if other.isidentifier() else f"(({other}, {code})[1])"
        elif tests:
            code = f"({second if left.null else first} if {tests[0]} is None else {code})"
        return replace(left, code=code, null=left.null and right.null)

    def _cast(self, node: Expr) -> Value:
        to = node.args["to"].this
        if to == exp.DType.DATE and isinstance(node.this, exp.Literal):
            return Value(str((datetime.date.fromisoformat(node.this.this) - EPOCH).days), "day")
        value = self.value(node.this)
        if to == exp.DType.DOUBLE and value.kind in ("double", "int", "null"):
            return self._double(value)
        if to == exp.DType.INT128 and value.kind == "double":
            return self._lifted("int", 0, [value], "round({})")
        scale = int(node.args["to"].expressions[1].name) if to == exp.DType.DECIMAL else 0
        same = to in (*_WHOLE, exp.DType.INT128, exp.DType.DECIMAL) and (value.kind, value.scale) == ("int", scale)
        if same or (to == exp.DType.TEXT and value.kind in ("text", "null")):
            return value
        raise untranslated(node)

    def _double(self, value: Value) -> Value:
        """A number as a double."""
        if value.kind != "int":
            return replace(value, kind="double")
        return self._lifted("double", 0, [value], f"{{}} / {10**value.scale}" if value.scale else "double({})")

    def _round(self, node: Expr) -> Value:
        """Half away from zero, as decimals are."""
        value, digits = self.value(node.this), int(node.args["decimals"].this)
        name, unit = self.name(), 10 ** (value.scale - digits)
        form = f"({name} + {unit // 2}) // {unit} if ({name} := {{}}) >= 0 else -(({unit // 2} - {name}) // {unit})"
        return self._lifted("int", digits, [value], form)

    def _call(self, node: Expr) -> Value:
        value = self.value(node.expressions[0])
        match node.this.lower():
            case "local_day":
                return self._lifted("day", 0, [value], "local_day({})")
            case "epoch_us":
                return replace(value, kind="int")
            case "bit_count":
                return self._lifted("int", 0, [value], "{}.bit_count()")
        raise untranslated(node)

    def _of_day(self, node: Expr) -> Value:
        form: dict[type[Expr], str] = {
            exp.Year: "date({}).year",
            exp.Month: "date({}).month",
            exp.TimeToStr: "date({}).strftime('%m')",
        }
        if isinstance(node, exp.TimeToStr) and node.args["format"].this != "%m":
            raise untranslated(node)
        kind = "text" if isinstance(node, exp.TimeToStr) else "int"
        return self._lifted(kind, 0, [self.value(node.this)], form[type(node)])

    def _aligned(self, values: list[Value]) -> list[Value]:
        """Numbers of one kind and scale, so that they compare; others as they are."""
        kinds = {value.kind for value in values} - {"null"}
        if kinds == {"double", "int"}:
            return [self._double(value) for value in values]
        if kinds == {"int"}:
            return [self._scaled(value, max(value.scale for value in values)) for value in values]
        return [replace(value, kind=next(iter(kinds))) if value.kind == "null" and kinds else value for value in values]

    def _scaled(self, value: Value, scale: int) -> Value:
        factor = 10 ** (scale - value.scale)
        if value.kind == "null" or factor == 1:
            return replace(value, kind="int", scale=scale)
        if value.code.lstrip("-").isdigit():
            return replace(value, code=str(int(value.code) * factor), scale=scale)
        return self._lifted("int", scale, [value], f"{{}} * {factor}")

    def _both(self, node: Expr) -> Value:
        """AND of what may be unknown."""
        left, right = self.value(node.this), self.value(node.expression)
        if not left.null and not right.null:
            return Value(f"({left.code} and {right.code})", "flag")
        one, other = self.name(), self.name()
        false = f"({one} := {left.code}) is False or ({other} := {right.code}) is False"
        return Value(f"(False if {false} else None if {one} is None or {other} is None else True)", "flag", null=True)

    def _among(self, node: Expr) -> Value:
        listed = ", ".join(self.value(each).code for each in node.expressions)
        return self._lifted("flag", 0, [self.value(node.this)], f"{{}} in ({listed},)")

    def _simple(self, kind: str, form: str, *nodes: Expr) -> Value:
        return self._lifted(kind, 0, [self.value(node) for node in nodes], form)


_TRANSLATED: dict[Any, Callable[[Expressions, Any], Value]] = {
    exp.Literal: Expressions._literal,
    exp.Null: lambda _, _node: Value("None", "null", null=True),
    exp.Boolean: lambda _, node: Value(repr(bool(node.this)), "flag"),
    exp.Paren: lambda self, node: self.value(node.this),
    exp.And: Expressions._both,
    exp.In: Expressions._among,
    exp.Is: lambda self, node: Value(self.condition(node), "flag"),
    exp.Add: Expressions._sum,
    exp.Sub: Expressions._sum,
    exp.Mul: Expressions._product,
    exp.Div: lambda self, node: self._simple("double", "{} / {}", node.this, node.expression),
    exp.IntDiv: Expressions._whole_quotient,
    exp.BitwiseLeftShift: lambda self, node: self._simple("int", "{} << {}", node.this, node.expression),
    exp.Case: Expressions._case,
    exp.Coalesce: Expressions._coalesce,
    exp.Greatest: Expressions._extreme,
    exp.Least: Expressions._extreme,
    exp.Cast: Expressions._cast,
    exp.Round: Expressions._round,
    exp.Anonymous: Expressions._call,
    exp.Year: Expressions._of_day,
    exp.Month: Expressions._of_day,
    exp.TimeToStr: Expressions._of_day,
    exp.Sqrt: lambda self, node: self._simple("double", "sqrt({})", node.this),
    exp.ToDays: lambda _, node: Value(str(int(node.this.this) * DAY_US), "int"),
}


def double(number: int) -> float:
    """An integer as DuckDB makes a double of it: beyond 64 bits not always the nearest one."""
    if -_EXACT <= number <= _EXACT:
        return float(number)
    if number >> 64 == -1:
        return -float(2**64 - 1 - (number & (2**64 - 1))) - 1.0
    return float(number & (2**64 - 1)) + float(number >> 64) * float(2**64 - 1)


@lru_cache(maxsize=4096)  # eleven years
def date(day: int) -> datetime.date:
    """The day of a number since 1970."""
    return datetime.date.fromordinal(day + EPOCH.toordinal())


# What the source may call.
CALLED: dict[str, Any] = {"double": double, "date": date, "sqrt": math.sqrt}
