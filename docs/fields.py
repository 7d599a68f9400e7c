"""What mkdocstrings must know of msgspec's Structs and of NamedTuples: their fields are what they are called with."""

import ast
from typing import Any

import griffe

BASES = {"Struct", "msgspec.Struct", "NamedTuple"}


class Fields(griffe.Extension):
    """Gives such a class an ``__init__`` of its fields, as griffe does for dataclasses."""

    def on_class_members(self, *, node: ast.AST | griffe.ObjectNode, cls: griffe.Class, **_: Any) -> None:
        """Griffe calls it with each class, once it has its members."""
        if not BASES & {str(base) for base in cls.bases} or "__init__" in cls.members:
            return
        kind = griffe.ParameterKind.positional_or_keyword
        fields = [
            griffe.Parameter(name, annotation=member.annotation, kind=kind, default=member.value)
            for name, member in cls.members.items()
            if isinstance(member, griffe.Attribute) and member.annotation and "property" not in member.labels
        ]
        own = griffe.Parameter("self", kind=kind)
        cls.set_member(
            "__init__", griffe.Function("__init__", parameters=griffe.Parameters(own, *fields), returns="None")
        )
