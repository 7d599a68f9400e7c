"""A scorecard for systems without Quipu: one SQL expression, a JSON document, an Excel sheet for a branch.

Each gives the very points of ``Card``: the points are whole, and the cuts are written with all their digits.
"""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import msgspec
import openpyxl
import yaml
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from components.credit.config import Rule
from components.credit.errors import InputError
from components.credit.models.binning import Binning
from components.credit.models.card import Card
from components.credit.models.engine import Engine
from components.credit.models.scorer import Scorer

_NUMBER = "DOUBLE PRECISION"
_FIRST_ROW = 4  # of the inputs in the sheet
_UNITS = {
    "class": "clasificación", "currency": "moneda de los libros", "currency a month": "moneda de los libros al mes",
    "days": "días", "inquiries": "consultas", "instalments": "cuotas", "lenders": "entidades", "loans": "créditos",
    "months": "meses", "movements": "movimientos", "people": "personas", "share": "proporción de 0 a 1",
    "share a month": "proporción al mes", "times": "veces", "years": "años", "credit lines": "líneas de crédito",
    "credits": "créditos", "points": "puntos", "reports": "reportes",
}  # fmt: skip
_POINTS_ARE = (
    "Los puntos son los coeficientes de una regresión penalizada sobre los tramos: por la penalización y porque las "
    "variables se parecen entre sí, no son el peso de evidencia (WoE) de cada tramo a escala."
)
_SAME_DAY = (1980, 1, 1, 0, 0, 0)
# Ending of the file of each form of ``exported``.
ENDINGS = {"sql": "sql", "excel": "xlsx", "json": "json", "bins": "yaml"}


def exported(scorer: Scorer, version: str, form: str, rules: Sequence[Rule]) -> bytes:
    """A scorecard in a form of ``ENDINGS``; the sheet decides by the hard rules too.

    Raises:
        InputError: The model is no scorecard.
    """
    if form == "sql":
        return sql(_engine(scorer, version)).encode()
    if form == "bins":
        return manual_bins(_engine(scorer, version), version)
    return sheet(scorer, version, rules) if form == "excel" else document(scorer, version)


def _engine(scorer: Scorer, version: str) -> Engine:
    """The engine of a model, once it has a card.

    Raises:
        InputError: The model is no scorecard.
    """
    if not scorer.engine.cards:
        raise InputError(f"Model {version} is a {scorer.family}, not a scorecard, so that it has no card to export.")
    return scorer.engine


def sql(engine: Engine) -> str:
    """The points of a row as one expression of PostgreSQL and DuckDB, over columns named as the features.

    Numbers may be of any numeric type, NULL or NaN where missing; categories are text.
    """
    sums = [_sum(card) for _, card in engine.cards]
    if engine.parting is None:
        return sums[0]
    by = f"CAST({_quoted(engine.parting.feature)} AS {_NUMBER})"
    is_below = f"{by} IS NULL OR {by} = {_number(float('nan'))} OR {by} < {_number(engine.parting.at)}"
    return f"CASE WHEN {is_below} THEN\n{sums[0]}ELSE\n{sums[1]}END\n"


def _sum(card: Card) -> str:
    parts = [_case(binning, points) for binning, points in zip(card.binnings, card.points, strict=True)]
    return "\n".join([str(card.base_points), *(f"+ {part}" for part in parts)]) + "\n"


def manual_bins(engine: Engine, version: str) -> bytes:
    """The bins as the configuration takes them, for people to change; a run refuses them until reviewed.

    Bins that people set hold on all cards; where there are two, a feature of both comes with those of the latter.
    """
    bins = {
        binning.feature: {
            "reviewed_by": "",
            "reviewed_on": None,
            "version": f"from {version}",
            **({"cuts": binning.cuts} if binning.type == "number" else {"groups": binning.groups}),
        }
        for _, card in engine.cards
        for binning in card.binnings
        if binning.cuts or binning.groups
    }
    head = (
        f"# Bins of scorecard {version}. Keep the features whose bins you set, say who reviewed them and when, and\n"
        "# give the file to 'quipu run --config'. A range holds its lower cut; missing values and special codes\n"
        "# have bins of their own, and a category of no group counts as other.\n"
    )
    written = yaml.safe_dump({"scorecard": {"manual_bins": bins}}, sort_keys=False, allow_unicode=True, width=120)
    return (head + written).encode()


def document(scorer: Scorer, version: str) -> bytes:
    """The card as JSON: scale, cut-off, base, and each feature's bins with their points; where there are two, ``cards``
    holds base and features of each, with the ``rows`` that it scores."""
    engine = _engine(scorer, version)
    content: dict[str, Any] = {
        "version": version,
        "scaling": msgspec.to_builtins(scorer.scaling),
        "cutoff_points": scorer.cutoff_points,
    }
    cards = [
        {"rows": rows, **_of_card(scorer, card)} if rows else _of_card(scorer, card) for rows, card in engine.cards
    ]
    content |= cards[0] if engine.parting is None else {"cards": cards}
    return msgspec.json.format(msgspec.json.encode(content), indent=1)


def _of_card(scorer: Scorer, card: Card) -> dict[str, Any]:
    known = {feature.name: feature for feature in scorer.features}
    return {
        "base_points": card.base_points,
        "features": [
            {
                "name": feature.name,
                "en": feature.en,
                "es": feature.es,
                "unit": feature.unit,
                "type": feature.type,
                "bins": _bins(binning, points),
            }
            for binning, points in zip(card.binnings, card.points, strict=True)
            for feature in (known[binning.feature],)
        ],
    }


def sheet(scorer: Scorer, version: str, rules: Sequence[Rule]) -> bytes:
    """The card as an Excel workbook: a sheet to decide on an applicant with, and the card itself; the same bytes
    always.

    Args:
        scorer: The scorecard.
        version: Its version.
        rules: The hard rules in force, which decline whatever the points.
    """
    engine = _engine(scorer, version)
    workbook = openpyxl.Workbook()
    form, bins = workbook.active, workbook.create_sheet("Tarjeta")
    form.title = "Calcular"
    bins.append(["Variable", "Tramo", "Puntos", "Categoría"])
    for cell in bins[1]:
        cell.font = Font(bold=True)
    base, formulas = _formulas(scorer, engine, bins)
    form["A1"] = f"Puntaje de crédito, modelo {version}"
    form["A1"].font = Font(bold=True, size=14)
    for column, text in enumerate(("Variable", "Valor (vacío: sin dato)", "Puntos"), start=1):
        form.cell(_FIRST_ROW - 1, column, text).font = Font(bold=True)
    for row, feature in enumerate(scorer.features, start=_FIRST_ROW):
        unit = _UNITS.get(feature.unit, feature.unit)
        form.cell(row, 1, f"{feature.es}{f' ({unit})' if unit else ''}")
        form.cell(row, 3, f"={formulas[feature.name]}")
    last = _FIRST_ROW + len(scorer.features) - 1
    for row, (text, value) in enumerate(
        (
            ("Puntos de base", base),
            ("Puntaje", f"=C{last + 1}+SUM(C{_FIRST_ROW}:C{last})"),
            ("Puntaje mínimo de aprobación", scorer.cutoff_points),
            ("Propuesta del puntaje", f'=IF(C{last + 2}>=C{last + 3},"aprobar","rechazar")'),
        ),
        start=last + 1,
    ):
        form.cell(row, 1, text).font = Font(bold=True)
        form.cell(row, 3, value).font = Font(bold=True)
    _write_rules(form, scorer, rules, last + 6, f"C{last + 4}")
    for cells in bins.iter_rows(min_row=2):
        for cell in (cells[0], cells[1], cells[3]):
            if cell.value is not None:
                cell.data_type = "s"  # also where it begins with =
    bins.append([_POINTS_ARE])
    for table, widths in ((form, (70, 26, 14)), (bins, (60, 40, 10, 40))):
        for column, width in enumerate(widths, start=1):
            table.column_dimensions[get_column_letter(column)].width = width
    return _saved(workbook)


def _write_rules(form: Any, scorer: Scorer, rules: Sequence[Rule], first: int, by_score: str) -> None:
    """The hard rules below the points, and the proposal by both; a rule on a variable of the card reads its value."""
    row_of = {feature.name: row for row, feature in enumerate(scorer.features, start=_FIRST_ROW)}
    form.cell(first, 1, "Reglas de la política (rechazan sea cual sea el puntaje)").font = Font(bold=True)
    for row, rule in enumerate(rules, start=first + 1):
        norm = f" ({rule.norm})" if rule.norm else ""
        form.cell(row, 1, f"{rule.es}: {rule.column} mayor que {rule.above:g}{norm}")
        if rule.column in row_of:
            form.cell(row, 2, f'=IF(B{row_of[rule.column]}="","",B{row_of[rule.column]})')
        form.cell(row, 3, f'=IF(ISNUMBER(B{row}),IF(B{row}>{rule.above!r},"rechazar","pasa"),"pasa")')
    end = first + len(rules) + 1
    declined = f'COUNTIF(C{first + 1}:C{end - 1},"rechazar")' if rules else "0"
    form.cell(end, 1, "Propuesta").font = Font(bold=True)
    form.cell(end, 3, f'=IF({declined}>0,"rechazar",{by_score})').font = Font(bold=True)


def _case(binning: Binning, points: list[int]) -> str:
    column = _quoted(binning.feature)
    if binning.type == "category":
        whens = [f"WHEN {column} IS NULL THEN {points[0]}"]
        for group, of_group in zip(binning.groups, points[2:], strict=True):
            whens.append(f"WHEN {column} IN ({', '.join(map(_text, group))}) THEN {of_group}")
        return f"CASE {' '.join(whens)} ELSE {points[1]} END"
    value = f"CAST({column} AS {_NUMBER})"
    whens = [f"WHEN {column} IS NULL OR {value} = {_number(float('nan'))} THEN {points[0]}"]
    for code, of_code in zip(binning.special, points[1:], strict=False):
        whens.append(f"WHEN {value} = {_number(code)} THEN {of_code}")
    ranges = points[binning.ordered_from :]
    for cut, of_range in zip(binning.cuts, ranges, strict=False):
        whens.append(f"WHEN {value} < {_number(cut)} THEN {of_range}")
    return f"CASE {' '.join(whens)} ELSE {ranges[-1]} END"


def _number(value: float) -> str:
    return f"CAST('{value!r}' AS {_NUMBER})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _bins(binning: Binning, points: list[int]) -> list[dict[str, Any]]:
    """Each bin with its points and what falls into it: categories, a special code, or from (with) to (without)."""
    edges = [None, *binning.cuts, None]
    described: list[dict[str, Any]] = []
    for index, (bin_, of_bin) in enumerate(zip(binning.bins, points, strict=True)):
        entry: dict[str, Any] = {"label": bin_.label, "points": of_bin}
        ordered = index - binning.ordered_from
        if binning.type == "category" and ordered >= 0:
            entry["values"] = binning.groups[ordered]
        elif binning.type == "number" and 0 < index < binning.ordered_from:
            entry["value"] = binning.special[index - 1]
        elif binning.type == "number" and ordered >= 0:
            entry |= {"from": edges[ordered], "to": edges[ordered + 1]}
        described.append(entry)
    return described


def _formulas(scorer: Scorer, engine: Engine, bins: Any) -> tuple[int | str, dict[str, str]]:
    """The base, formulas of each feature's points, and the bins that they read, written to their sheet.

    Where two cards part the book, each formula holds both and the value of the feature that parts them chooses.
    """
    cards = [card for _, card in engine.cards]
    if engine.parting is None:
        return cards[0].base_points, _of_feature(scorer, cards[0], bins)
    (first, second), (by, at) = cards, engine.parting
    parting = next(feature.es for feature in scorer.features if feature.name == by)
    bins.append([f"Tarjeta 1. {parting}: menos de {at:g}, o sin dato"])
    below = _of_feature(scorer, first, bins)
    bins.append([f"Tarjeta 2. {parting}: {at:g} o más"])
    above = _of_feature(scorer, second, bins)
    is_above = f"N(B{_FIRST_ROW + engine.features.index(by)})>={at!r}"
    formulas = {name: f"IF({is_above},{above.get(name, '0')},{below.get(name, '0')})" for name in engine.features}
    return f"=IF({is_above},{second.base_points},{first.base_points})", formulas


def _of_feature(scorer: Scorer, card: Card, bins: Any) -> dict[str, str]:
    """The formula of each of a card's features, whose bins are written below those that stand there."""
    known = {feature.name: (feature, row) for row, feature in enumerate(scorer.features, start=_FIRST_ROW)}
    formulas = {}
    for binning, points in zip(card.binnings, card.points, strict=True):
        feature, row = known[binning.feature]
        first = bins.max_row + 1
        for index, (bin_, of_bin) in enumerate(zip(binning.bins, points, strict=True)):
            group = binning.groups[index - 2] if binning.type == "category" and index >= 2 else [None]
            for value in group:
                bins.append([feature.es, bin_.label, of_bin, value])
        formulas[feature.name] = _formula(f"B{row}", binning, points, (first, bins.max_row))
    return formulas


def _formula(cell: str, binning: Binning, points: list[int], rows: tuple[int, int]) -> str:
    if binning.type == "category":
        values, of_values = (f"Tarjeta!${column}${rows[0]}:${column}${rows[1]}" for column in "DC")
        same = f"EXACT({values},{cell})"
        return f'IF({cell}="",{points[0]},IF(SUMPRODUCT(--{same})=0,{points[1]},SUMPRODUCT({same}*{of_values})))'
    ranges = points[binning.ordered_from :]
    starts = ";".join(["-1E+307", *(repr(cut) for cut in binning.cuts)])
    looked_up = f"LOOKUP({cell},{{{starts}}},{{{';'.join(map(str, ranges))}}})"
    for code, special in reversed(list(zip(binning.special, points[1:], strict=False))):
        looked_up = f"IF({cell}={code!r},{special},{looked_up})"
    return f'IF({cell}="",{points[0]},{looked_up})'


def _saved(workbook: Any) -> bytes:
    """The workbook's bytes, without the time of writing."""
    written, again = io.BytesIO(), io.BytesIO()
    workbook.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if name != "docProps/core.xml":
                target.writestr(zipfile.ZipInfo(name, _SAME_DAY), source.read(name))
                continue
            kept = zipfile.ZipInfo(name, _SAME_DAY)
            target.writestr(kept, _without_times(source.read(name)))
    return again.getvalue()


def _without_times(properties: bytes) -> bytes:
    head, _, rest = properties.partition(b"<dcterms:created")
    return head + rest.rpartition(b"</dcterms:modified>")[2] if rest else properties
