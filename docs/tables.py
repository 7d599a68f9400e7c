"""What the reference takes from the code when the site is built: no page of it is written twice, and none goes stale.

A line ``<!-- from the code: KIND ARGUMENT -->`` in a page gives way to Markdown that a function of ``KINDS`` makes.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
import msgspec
import yaml
from msgspec import inspect as types

from components.credit.book.contract import PROVENANCE, TABLES, Field
from components.credit.features.query import SOURCES
from components.credit.settings import expected

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(r"^<!-- from the code: ([a-z]+)(?: (\S+))? -->$", re.MULTILINE)
_LONG = 40  # characters from which a default stands below the table
_WORDS: dict[type[types.Type], str] = {
    types.StrType: "text",
    types.BoolType: "true or false",
    types.DateType: "day, YYYY-MM-DD",
    types.DecimalType: "amount",
}
_ARROW = {
    "string": "text",
    "timestamp[us, tz=UTC]": "time, UTC",
    "date32[day]": "day",
    "decimal128(18, 2)": "money, decimal(18, 2)",
    "int32": "whole number",
    "double": "number",
    "bool": "true or false",
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs calls it with each page: the page with its markers filled in."""
    return filled(markdown)


def on_post_build(config: Any) -> None:
    """MkDocs calls it at the end: stop where a page loads a script, style, font or picture from elsewhere."""
    for page in sorted(Path(config.site_dir).rglob("*.html")):
        loads = _Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        for address in loads.elsewhere:
            raise SystemExit(f"{page.name} loads {address}; the site must open without a network.")


def filled(markdown: str) -> str:
    """A page with what its markers ask of the code."""
    return MARKER.sub(lambda found: KINDS[found[1]](*([found[2]] if found[2] else [])), markdown)


class _Loads(HTMLParser):
    """Addresses that a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("src") or (given.get("href") if tag == "link" else None) or ""
        if re.match("(https?:)?//", address):
            self.elsewhere.append(address)


def contract() -> str:
    """The tables of the data contract."""
    sections = []
    for table in TABLES.values():
        references = [f"`{column}` must be one of `{target}`" for column, target in table.references.items()]
        lines = [f"**Key:** {', '.join(f'`{column}`' for column in table.key)}.", *(f"{line}." for line in references)]
        rows = [
            (
                f"`{field.name}`",
                _arrow(field),
                field.unit,
                "yes" if field.required else "",
                field.description,
                _allowed(field),
            )
            for field in table.fields
        ]
        head = ("column", "type", "unit", "required", "what it holds", "allowed")
        sections.append(f"## {table.name}\n\n{table.description}\n\n{' '.join(lines)}\n\n{_table(head, rows)}")
    provenance = ", ".join(f"`{name}`" for name in PROVENANCE.names)
    return "\n".join(sections) + f"\nUntil quarantine each row also says where it came from: {provenance}.\n"


def _arrow(field: Field) -> str:
    return _ARROW[str(field.type)]


def _allowed(field: Field) -> str:
    if field.allowed:
        return ", ".join(f"`{value}`" for value in field.allowed)
    least, most = field.minimum, field.maximum
    if least is None and most is None:
        return ""
    return f"{least:,g} or more" if most is None else f"{least:,g} to {most:,g}"


def struct(place: str) -> str:
    """The keys of a Struct and of each Struct within it.

    Args:
        place: ``module:Struct``.
    """
    sections: dict[type, str] = {}
    pending = [types.type_info(_named(place))]
    while pending:
        info = pending.pop(0)
        if isinstance(info, types.StructType):
            if info.cls in sections:
                continue
            sections[info.cls] = _section(info)
        pending = _within(info) + pending
    return "\n".join(sections.values())


def _section(info: types.StructType) -> str:
    text, about = _docstring(info.cls)
    rows, below = [], ""
    for field in info.fields:
        default = "required" if field.required else _default(field)
        if len(default) > _LONG:
            below += f"\nDefault of `{field.encode_name}`:\n\n```yaml\n{_yaml(field)}```\n"
            default = "below"
        rows.append((f"`{field.encode_name}`", _type(field.type), default, about.get(field.name, "")))
    return f"## {info.cls.__name__}\n\n{text}\n\n{_table(('key', 'type', 'default', 'what it is'), rows)}{below}"


def settings(place: str) -> str:
    """The environment variables that a Struct of settings reads.

    Args:
        place: ``module:Struct``.
    """
    text, about = _docstring(_named(place))
    rows = []
    for field in types.type_info(_named(place)).fields:
        info = field.type
        if secret := isinstance(info, types.Metadata):
            info = info.type
        default = "required" if field.required else _default(field)
        name = f"`{field.encode_name}`" + (f" or `{field.encode_name}_FILE`" if secret else "")
        rows.append((name, _type(info).removesuffix(" or null"), default, about.get(field.name, "")))
    return f"{text}\n\n{_table(('variable', 'value', 'default', 'what it is'), rows)}"


def commands() -> str:
    """Every command of ``quipu`` with its arguments and options."""
    import typer

    from pipelines.commandline import app

    return "\n".join(_command("quipu", typer.main.get_command(app)))


def _command(name: str, command: Any) -> Iterator[str]:
    within = getattr(command, "commands", None)
    if within is not None:
        for word, each in within.items():
            yield from _command(f"{name} {word}", each)
        return
    rows = []
    for parameter in command.params:
        if parameter.name != "help":
            given = ", ".join(f"`{word}`" for word in parameter.opts) if parameter.param_type_name == "option" else ""
            default = "required" if parameter.required else _plain(parameter.default)
            about = (getattr(parameter, "help", "") or "").replace("<", "&lt;")
            rows.append((given or f"`{parameter.name.upper()}`", default, about))
    text = re.sub(r"Example: (.*)", r"```\n\1\n```", inspect.cleandoc(command.help or ""))
    yield f"## {name}\n\n{text}\n\n" + (_table(("argument or option", "default", "what it is"), rows) if rows else "")


def components() -> str:
    """The components by their compiled specs: ``components/README.md`` without its title."""
    text = (ROOT / "components" / "README.md").read_text(encoding="utf-8").partition("\n")[2]
    return re.sub(r"\[[^]]*\]\(\.\./([^)]*)\)", r"`\1`", text)


def features() -> str:
    """The features that are declared, by the table that they come from."""
    sections = []
    for source in SOURCES:
        rows = [
            (
                f"`{entry.name}`",
                f"{entry.en}<br>*{entry.es}*",
                entry.unit or entry.type,
                entry.trend or "",
                f"`{entry.cause}`",
            )
            for entry in source.entries()
        ]
        head = ("feature", "what it is", "unit", "risk as it grows", "cause")
        sections.append(f"## From {source.table}\n\n{_table(head, rows)}")
    return "\n".join(sections)


def api(folder: str) -> str:
    """What mkdocstrings is asked for: the modules of a folder, without the packages within it.

    Args:
        folder: Path of a package, from the project's root.
    """
    modules = sorted(path for path in (ROOT / folder).glob("*.py") if path.name not in ("__init__.py", "component.py"))
    # What lies below a folder `src` is imported from there.
    named = [str(path.relative_to(ROOT).with_suffix("")).rpartition("/src/")[2].replace("/", ".") for path in modules]
    return "\n".join(f"::: {name}\n" for name in named)


KINDS: dict[str, Callable[..., str]] = {
    kind.__name__: kind for kind in (contract, struct, settings, commands, components, features, api)
}


def _named(place: str) -> type:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _docstring(cls: type) -> tuple[str, dict[str, str]]:
    """The text of a class's docstring, and what it says under ``Args:`` of each field, as Markdown."""
    sections = griffe.parse_google(griffe.Docstring(inspect.getdoc(cls) or ""), warnings=False)
    text = "\n\n".join(section.value for section in sections if section.kind.value == "text")
    about = {
        each.name: each.description
        for section in sections
        if section.kind.value == "parameters"
        for each in section.value
    }
    return _markdown(text), {name: " ".join(_markdown(words).split()) for name, words in about.items()}


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _within(info: types.Type) -> list[types.Type]:
    """The types that a type is made of."""
    if isinstance(info, types.StructType):
        return [field.type for field in info.fields]
    if isinstance(info, types.UnionType):
        return list(info.types)
    if isinstance(info, types.ListType):
        return [info.item_type]
    return [info.value_type] if isinstance(info, types.DictType) else []


def _type(info: types.Type) -> str:
    """A type in words, with a link where it is a Struct."""
    if isinstance(info, types.StructType):
        return f"[{info.cls.__name__}](#{info.cls.__name__.lower()})"
    if isinstance(info, types.UnionType):
        kinds = [
            each for each in info.types if not (isinstance(each, types.CustomType) and each.cls is msgspec.UnsetType)
        ]
        return " or ".join("null" if isinstance(each, types.NoneType) else _type(each) for each in kinds)
    if isinstance(info, types.ListType):
        return f"list of {_type(info.item_type)}"
    if isinstance(info, types.DictType):
        return f"{_type(info.value_type)} by name"
    if isinstance(info, types.LiteralType):
        return " or ".join(f"`{value}`" for value in info.values)
    if isinstance(info, types.IntType | types.FloatType):
        above = "" if info.gt is None else f" above {info.gt:g}"
        below = "" if info.lt is None else f" below {info.lt:g}"
        return expected(info).removeprefix("a ") + above + below
    return _WORDS.get(type(info), "anything")


def _value(field: types.Field) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return None if field.default is msgspec.NODEFAULT else msgspec.to_builtins(field.default)  # an UNSET counts as none


def _default(field: types.Field) -> str:
    value = _value(field)
    if isinstance(field.type, types.StructType):
        return "its own defaults"
    return _plain(value)


def _yaml(field: types.Field) -> str:
    return yaml.safe_dump(_value(field), sort_keys=False, allow_unicode=True, width=110)


def _plain(value: object) -> str:
    """A default as a cell of a table shows it."""
    if value is None or value in ("", [], {}, ()) or callable(value):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict | list):
        return f"`{msgspec.json.encode(value).decode()}`"
    return f"`{getattr(value, 'value', value)}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
