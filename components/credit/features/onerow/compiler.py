"""The features' query as Python source for one application: the same SQL that DuckDB runs, pruned to what is wanted.

DuckDB takes tens of milliseconds to plan and run the query over one application's few rows; the source made of it
takes some hundred microseconds. There is one application and one borrower, so ``row`` and ``borrower_id`` are the
same in all rows, and what the query says of them is left out.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import sqlglot
from sqlglot import exp
from sqlglot.expressions import Expr

from components.credit.features.onerow.expressions import Expressions, Value, untranslated
from components.credit.features.onerow.totals import Totals

_CONSTANT = ("row", "borrower_id")
_SINGLE = "application"  # the step that has one row


@dataclass
class Step:
    """A named query of the features, and what is wanted of it.

    Args:
        name: Name of the step.
        select: The query.
        sources: Steps or tables that it reads, by alias; the first one is that of FROM.
        columns: Its columns by name, stars spelt out.
        wanted: Columns that are wanted of it.
        values: Kind and scale of the wanted columns, once they are translated; ``code`` is empty.
    """

    name: str
    select: exp.Select
    sources: dict[str, str]
    columns: dict[str, Expr]
    wanted: list[str] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """What a query reads besides its steps.

    Args:
        columns: Kind, scale and nullability of each column, by name; ``code`` is empty.
        rows: Source of the rows, as tuples, where they do not come from a table of the borrower.
    """

    columns: Mapping[str, Value]
    rows: str = ""


class Plan:
    """The source of a function ``features(tables)``, which gives a list with one tuple of the wanted columns.

    ``tables`` holds the columns of each table as lists, by name.

    Args:
        query: SQL of the features of all applications.
        wanted: Columns of its answer that are wanted, in order.
        given: What the query reads, by name; a step of the same name is not translated.
    """

    def __init__(self, query: str, wanted: list[str], given: Mapping[str, Source]) -> None:
        self._given = given
        self._names = itertools.count()
        tree = sqlglot.parse_one(query, dialect="duckdb")
        for node in list(tree.find_all(exp.IgnoreNulls)):  # which aggregates do anyway
            node.replace(node.this)
        assert isinstance(tree, exp.Select)
        parts = {part.alias: part.this for part in tree.args["with_"].expressions}
        parts["answer"] = tree
        self._steps: dict[str, Step] = {}
        self._same: dict[str, str] = {}  # steps that are nothing but another one
        for name, select in parts.items():
            if name not in given:
                self._add(name, select)
        self._want("answer", wanted)
        lines = [line for step in self._steps.values() if step.wanted for line in self._step(step)]
        self.source = "\n    ".join(["def features(tables):", *lines, "return answer"])

    def _add(self, name: str, select: exp.Select) -> None:
        froms = [select.args["from_"], *select.args.get("joins", [])]
        sources = {part.this.alias_or_name: self._same.get(part.this.name, part.this.name) for part in froms}
        if len(sources) == 1 and [type(each) for each in select.expressions] == [exp.Star]:
            self._same[name] = next(iter(sources.values()))
            return
        columns: dict[str, Expr] = {}
        for each in select.expressions:
            star = each.this if isinstance(each, exp.Column) and isinstance(each.this, exp.Star) else None
            if star is None:
                columns[each.alias_or_name] = each.unalias()
                continue
            replaced = {other.alias: other.this for other in star.args.get("replace") or []}
            left_out = {other.name for other in star.args.get("except_") or []}
            for column in self._columns(sources[each.table]):
                if column not in left_out:
                    columns[column] = replaced.get(column, exp.column(column, table=each.table))
        self._steps[name] = Step(name, select, sources, columns)

    def _columns(self, source: str) -> list[str]:
        return list(self._steps[source].columns if source in self._steps else self._given[source].columns)

    def _place(self, step: Step, column: exp.Column) -> str:
        """Alias of the source that a column comes from; empty where it is another column of the same step."""
        if column.table:
            return column.table
        for alias, source in step.sources.items():
            if column.name in self._columns(source):
                return alias
        if column.name not in step.columns:
            raise untranslated(column)
        return ""

    def _want(self, name: str, columns: list[str]) -> None:
        """Note what is wanted of a step, and what that takes of others."""
        step = self._steps.get(name)
        if step is None:
            return
        new = [column for column in columns if column not in step.wanted and column not in _CONSTANT]
        if not new and step.wanted:
            return
        step.wanted = [column for column in step.columns if column in {*step.wanted, *new}]
        if not step.wanted:  # only whether there are rows counts
            step.wanted = [next(column for column in step.columns if column not in _CONSTANT)]
        read = [step.columns[column] for column in step.wanted]
        read += [step.select.args[part] for part in ("where", "qualify", "group") if step.select.args.get(part)]
        for join in self._joins(step):
            read.append(join.args["on"])
            self._want(step.sources[join.this.alias_or_name], [])
        self._want(next(iter(step.sources.values())), [])
        found: dict[str, list[str]] = {}
        for column in (column for node in read for column in node.find_all(exp.Column)):
            if column.name not in _CONSTANT:
                alias = self._place(step, column)
                found.setdefault(step.sources[alias] if alias else name, []).append(column.name)
        for source, names in found.items():
            self._want(source, names)

    def _joins(self, step: Step) -> list[exp.Join]:
        """Its joins, without those of which nothing is wanted and which leave no row out."""
        wanted = [step.columns[column] for column in step.wanted]
        wanted += [step.select.args[part] for part in ("where", "group") if step.select.args.get(part)]
        used = {column.table or self._place(step, column) for node in wanted for column in node.find_all(exp.Column)}
        return [
            join for join in step.select.args.get("joins", []) if join.side != "LEFT" or join.this.alias_or_name in used
        ]

    def _step(self, step: Step) -> Iterator[str]:
        """Lines that make the rows of a step: a list of tuples of the wanted columns, named as the step."""
        if step.select.args.get("group"):
            yield from self._grouped(step)
        else:
            yield from self._single(step)
        if step.name == _SINGLE:
            yield f"{_tuple(f'a_{place}' for place in range(len(step.wanted)))} = {step.name}[0]"

    def _known(self, step: Step, variables: Mapping[tuple[str, str], Value]) -> Expressions:
        """Translates the expressions over the rows that a step reads."""

        def known(node: Expr) -> Value | None:
            if not isinstance(node, exp.Column):
                return None
            if node.name in _CONSTANT:
                return Value("0", "int")
            return variables[self._place(step, node), node.name]

        return Expressions(known, self._names)

    def _variables(self, alias: str, source: str, *, null: bool) -> dict[tuple[str, str], Value]:
        """The wanted columns of a source as variables."""
        if source in self._steps:
            step = self._steps[source]
            prefix = "a" if source == _SINGLE else alias
            return {
                (alias, column): replace(value, code=f"{prefix}_{place}", null=value.null or null)
                for place, (column, value) in enumerate(step.values.items())
            }
        return {
            (alias, column): replace(value, code=f"{alias}_{place}", null=value.null or null)
            for place, (column, value) in enumerate(self._given[source].columns.items())
            if column not in _CONSTANT
        }

    def _rows(self, step: Step, alias: str, nodes: list[Expr]) -> tuple[str, dict[tuple[str, str], Value], str]:
        """Loop over the first source: source of its rows, its variables, and the target of the loop."""
        source = step.sources[alias]
        variables = self._variables(alias, source, null=False)
        if source in self._steps:
            return source, variables, _tuple(value.code for value in variables.values())
        used = [
            name
            for name in self._given[source].columns
            if any(
                column.name == name and self._place(step, column) == alias
                for node in nodes
                for column in node.find_all(exp.Column)
            )
            and name not in _CONSTANT
        ]
        lists = ", ".join(f"tables[{source!r}][{name!r}]" for name in used)
        return f"zip({lists})", variables, _tuple(variables[alias, name].code for name in used)

    def _loop(self, step: Step, nodes: list[Expr]) -> tuple[list[str], str, dict[tuple[str, str], Value]]:
        """Lines that open the loop over the joined rows, the indentation within, and the variables there."""
        first = next(iter(step.sources))
        joins = self._joins(step)
        where = step.select.args.get("where")
        read = [*nodes, *(join.args["on"] for join in joins), *([where] if where else [])]
        rows, variables, target = self._rows(step, first, read)
        conditions: list[Expr] = [where.this] if where else []
        before, lines, indent = [], [f"for {target} in {rows}:"], "    "
        for join in joins:
            alias = join.this.alias_or_name
            source = step.sources[alias]
            added = self._variables(alias, source, null=join.side == "LEFT")
            variables |= added
            if source == _SINGLE:
                conditions += _parts(join.args["on"])
                continue
            keys, rest = self._keys(step, alias, join.args["on"])
            conditions += rest
            place = [list(added).index((alias, column)) for column, _ in keys]
            index = f"of_{source}" if not place else f"of_{source}_{'_'.join(map(str, place))}"
            target = _tuple(value.code for value in added.values())
            held = self._given[source].rows if source in self._given else source
            missing = f" or [{_tuple('None' for _ in added)}]" if join.side == "LEFT" else ""
            if not keys:
                lines.append(f"{indent}for {target} in {held}{missing}:")
            else:
                here = self._known(step, variables)
                key = _key(f"each[{each}]" for each in place)
                before += [f"{index} = {{}}", f"for each in {held}: {index}.setdefault({key}, []).append(each)"]
                wanted = _key(here.value(node).code for _, node in keys)
                lines.append(f"{indent}for {target} in {index}.get({wanted}){missing or ' or ()'}:")
            indent += "    "
        here = self._known(step, variables)
        parts = [part for condition in conditions for part in _parts(condition) if not _is_constant(part)]
        lines += [f"{indent}if not {here.condition(part)}: continue" for part in parts]
        return [*before, *lines], indent, variables

    def _keys(self, step: Step, alias: str, on: Expr) -> tuple[list[tuple[str, Expr]], list[Expr]]:
        """The columns of a joined source that equal something of the sources before, and the other conditions."""
        keys, rest = [], []
        for part in _parts(on):
            if isinstance(part, exp.EQ):
                sides = [part.this, part.expression]
                own = [isinstance(side, exp.Column) and side.table == alias for side in sides]
                if own != [False, False]:
                    column, other = sides if own[0] else reversed(sides)
                    keys.append((column.name, other))
                    continue
            rest.append(part)
        return [(name, node) for name, node in keys if name not in _CONSTANT], rest

    def _single(self, step: Step) -> Iterator[str]:
        """A step that makes a row out of each row."""
        windows = {
            window.sql(): window
            for node in [*(step.columns[name] for name in step.wanted), step.select.args.get("qualify")]
            if node is not None
            for window in node.find_all(exp.Window)
            if step.name != _SINGLE
        }
        late = self._windowed(step)
        early = [name for name in step.wanted if name not in late]
        inputs = [node for window in windows.values() for node in _inputs(window)]
        lines, indent, variables = self._loop(step, [*(step.columns[name] for name in step.wanted), *inputs])
        yield f"{step.name} = []"
        yield from lines
        translated = self._known(step, variables)
        for name in _ordered(step, early):
            value = translated.value(step.columns[name])
            variables["", name], lines = self._named(value)
            yield from (indent + line for line in lines)
        if not windows:
            yield f"{indent}{step.name}.append({_tuple(variables['', name].code for name in step.wanted)})"
            step.values = {name: replace(variables["", name], code="") for name in step.wanted}
            return
        # First all rows with what the windows look at, then what follows from the windows.
        read = {
            key: value
            for key, value in variables.items()
            if any(
                isinstance(node, exp.Column) and node.name == key[1] and self._place(step, node) == key[0]
                for name in late
                for node in step.columns[name].find_all(exp.Column)
            )
            or key in [("", name) for name in early]
        }
        kept = list(dict.fromkeys(value.code for value in read.values()))
        held = [*kept, *(translated.value(node).code for node in inputs)]
        yield f"{indent}{step.name}.append({_tuple(held)})"
        found: dict[str, Value] = {}
        place, rows = len(kept), step.name
        for text, window in windows.items():
            over = _inputs(window)
            if isinstance(window.this, exp.RowNumber):
                if not all(part.args.get("desc") for part in window.args["order"].expressions):
                    raise untranslated(window)
                key = _tuple(f"each[{place + number}]" for number in range(len(over)))
                yield f"{step.name}.sort(key=lambda each: {key}, reverse=True)"
                found[text] = Value("number", "int")
                rows = f"enumerate({step.name}, 1)"
            elif isinstance(window.this, exp.Max) and not translated.value(over[0]).null:
                name = f"w{next(self._names)}"
                yield f"{name} = max([each[{place}] for each in {step.name}], default=None)"
                found[text] = replace(translated.value(over[0]), code=name)
            else:
                raise untranslated(window)
            place += len(over)
        target = _tuple([*kept, *(f"_{each}" for each in range(place - len(kept)))])
        yield f"rows, {step.name} = {rows}, []"
        yield f"for {f'number, {target}' if rows != step.name else target} in rows:"

        def known(node: Expr) -> Value | None:
            if isinstance(node, exp.Window):
                return found[node.sql()]
            return self._known(step, variables)._known(node)

        translated = Expressions(known, self._names)
        qualify = step.select.args.get("qualify")
        if qualify:
            yield f"    if not {translated.condition(qualify.this)}: continue"
        for name in _ordered(step, late):
            value = translated.value(step.columns[name])
            variables["", name], lines = self._named(value)
            yield from ("    " + line for line in lines)
        yield f"    {step.name}.append({_tuple(variables['', name].code for name in step.wanted)})"
        step.values = {name: replace(variables["", name], code="") for name in step.wanted}

    def _named(self, value: Value) -> tuple[Value, list[str]]:
        """A value as a variable, and the line that sets it where it is none yet."""
        if value.code.isidentifier():
            return value, []
        name = f"v{next(self._names)}"
        return replace(value, code=name), [f"{name} = {value.code}"]

    def _windowed(self, step: Step) -> list[str]:
        """The wanted columns that follow from a window over all rows."""
        late: list[str] = []
        for name in step.wanted:
            node = step.columns[name]
            columns = [column for column in node.find_all(exp.Column) if column.name not in _CONSTANT]
            if node.find(exp.Window) or any(
                not self._place(step, column) and column.name in late for column in columns
            ):
                late.append(name)
        return late

    def _grouped(self, step: Step) -> Iterator[str]:
        """A step that makes a row out of each group of rows."""
        group = [key for key in step.select.args["group"].expressions if key.name not in _CONSTANT]
        nodes = [step.columns[name] for name in step.wanted]
        lines, indent, variables = self._loop(step, [*nodes, *group])
        here = self._known(step, variables)
        source = next(iter(step.sources.values()))
        target = _tuple(value.code for value in variables.values())
        keys = [here.value(key) for key in group]
        totals = Totals(here)
        named = {key.name: replace(value, code=f"k{next(self._names)}") for key, value in zip(group, keys, strict=True)}

        def known(node: Expr) -> Value | None:
            if isinstance(node, exp.Column):
                if node.name in named:
                    return named[node.name]
                return done[node.name] if node.name in done else here._known(node)
            return totals.known(node)

        after = Expressions(known, self._names)
        done: dict[str, Value] = {}
        made = []
        for name in _ordered(step, step.wanted):
            done[name], lines_ = self._named(after.value(step.columns[name]))
            made += lines_
        step.values = {name: replace(done[name], code="") for name in step.wanted}
        row = f"{step.name}.append({_tuple(done[name].code for name in step.wanted)})"
        yield f"{step.name} = []"
        if not group:
            yield f"if {source}:"
            yield from (f"    {line}" for line in totals.start)
            yield from (f"    {line}" for line in lines)
            yield from (f"    {indent}{line}" for line in totals.lines() or ["pass"])
            yield from (f"    {line}" for line in [*made, row])
            return
        key = _key(value.code for value in keys)
        yield "groups = {}"
        yield from lines
        yield f"{indent}groups.setdefault({key}, []).append({target})"
        yield f"for {_key(value.code for value in named.values())}, members in groups.items():"
        yield from (f"    {line}" for line in totals.start)
        yield f"    for {target} in members:"
        yield from (f"        {line}" for line in totals.lines() or ["pass"])
        yield from (f"    {line}" for line in [*made, row])


def _is_constant(part: Expr) -> bool:
    """Whether a condition says only that the borrower or the application is the same."""
    return isinstance(part, exp.EQ) and all(side.name in _CONSTANT for side in (part.this, part.expression))


def _inputs(window: exp.Window) -> list[Expr]:
    """What a window looks at of each row."""
    if isinstance(window.this, exp.RowNumber):
        return [part.this for part in window.args["order"].expressions]
    return [window.this.this]


def _ordered(step: Step, names: list[str]) -> list[str]:
    """Columns in the order of the query, in which each one names only earlier ones."""
    return [name for name in step.columns if name in names]


def _parts(condition: Expr) -> list[Expr]:
    """The conditions that an AND joins."""
    return list(condition.flatten()) if isinstance(condition, exp.And) else [condition]


def _tuple(codes: "Iterator[str] | list[str]") -> str:
    return f"({''.join(f'{code}, ' for code in codes)})"


def _key(codes: Iterator[str]) -> str:
    """A key: the value alone where there is one."""
    listed = list(codes)
    return listed[0] if len(listed) == 1 else _tuple(listed)
