"""The aggregates of the features' SQL as Python source: what a row adds to each."""

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp
from sqlglot.expressions import Expr

from components.credit.features.onerow.expressions import Expressions, Value, untranslated


class Totals:
    """The aggregates of a step: where they start, and what a row adds.

    Args:
        rows: Translates the expressions over a row.
    """

    def __init__(self, rows: Expressions) -> None:
        self._rows = rows
        self._found: dict[str, Value] = {}
        self._added: dict[str, list[str]] = {}
        self.start: list[str] = []

    def known(self, node: Expr) -> Value | None:
        """The value of an aggregate, or of one that is 0 where there is nothing to add up; else None."""
        zero = isinstance(node, exp.Coalesce) and isinstance(node.this, exp.Sum) and node.expressions[0].name == "0"
        if not zero and not isinstance(node, exp.AggFunc | exp.AnyValue):
            return None
        text = node.sql()
        if text not in self._found:
            self._found[text] = self._total(node.this if zero else node, zero=zero)
        return self._found[text]

    def _total(self, node: Expr, *, zero: bool) -> Value:
        name = self._rows.name()
        if isinstance(node, exp.CountIf) and self._rows.value(node.this).null:
            # DuckDB adds up the conditions: none is known, none is the answer.
            self.start.append(f"{name} = None")
            return replace(
                self._guarded(node.this, lambda value: f"{name} = {value.code} + ({name} or 0)"),
                code=name,
                kind="int",
                null=True,
            )
        if isinstance(node, exp.Count | exp.CountIf):
            self.start.append(f"{name} = 0")
            if isinstance(node, exp.CountIf):
                self._add(self._rows.condition(node.this), f"{name} += 1")
            elif isinstance(node.this, exp.Star):
                self._add("", f"{name} += 1")
            else:
                self._guarded(node.this, lambda _: f"{name} += 1")
            return Value(name, "int")
        self.start.append(f"{name} = 0" if zero else f"{name} = None")
        if isinstance(node, exp.ArgMax | exp.ArgMin):
            key = self._rows.name()
            by = self._rows.value(node.expression)
            sign = ">" if isinstance(node, exp.ArgMax) else "<"
            self.start.append(f"{key} = None")

            def add(value: Value) -> str:
                kept = f"{key}, {name} = t_by, {value.code}"
                known = f"(t_by := {by.code}) is not None and " if by.null else ""
                bound = "t_by" if by.null else f"(t_by := {by.code})"
                return (
                    f"if {known}({key} is None or {bound} {sign} {key}): {kept}"
                    if by.null
                    else (f"t_by = {by.code}\nif {key} is None or t_by {sign} {key}: {kept}")
                )

            return replace(self._guarded(node.this, add), code=name, null=True)
        forms: dict[type[Expr], str] = {
            exp.Sum: "{name} += {value}" if zero else "{name} = {value} if {name} is None else {name} + {value}",
            exp.Max: "if {name} is None or {value} > {name}: {name} = {value}",
            exp.Min: "if {name} is None or {value} < {name}: {name} = {value}",
            exp.BitwiseOrAgg: "{name} = {value} if {name} is None else {name} | {value}",
            exp.AnyValue: "if {name} is None: {name} = {value}",
        }
        if type(node) not in forms:
            raise untranslated(node)
        form = forms[type(node)]
        value = self._guarded(node.this, lambda value: form.format(name=name, value=value.code))
        return replace(value, code=name, null=not zero)

    def _guarded(self, node: Expr, add: Callable[[Value], str]) -> Value:
        """Add a value where it is not missing."""
        guard = ""
        if isinstance(node, exp.Case) and len(node.args["ifs"]) == 1 and not node.args.get("default") and not node.this:
            guard = self._rows.condition(node.args["ifs"][0].this)
            node = node.args["ifs"][0].args["true"]
        value = self._rows.value(node)
        lines = []
        if not value.code.isidentifier() and not value.code.isdigit():
            code = self._rows.name()
            lines.append(f"{code} = {value.code}")
            value = replace(value, code=code)
        added = add(value).split("\n")
        lines += [f"if {value.code} is not None:", *(f"    {line}" for line in added)] if value.null else added
        self._add(guard, *lines)
        return value

    def _add(self, guard: str, *lines: str) -> None:
        self._added.setdefault(guard, []).extend(lines)

    def lines(self) -> list[str]:
        """What a row adds."""
        made = []
        for guard, lines in self._added.items():
            made += [f"if {guard}:", *(f"    {line}" for line in lines)] if guard else lines
        return made
