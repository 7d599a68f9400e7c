"""The dirt of real books: a few rows in a thousand that nobody can read, that come twice, or that belong nowhere."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BROKEN = 0.0008  # of the rows, for each way of being broken
_REPEATED = 0.0015  # of the rows, that come twice
_PAYMENTS = 0.1  # of both for payments: each that is lost makes a loan look unpaid
_NO_SUCH_DAY = "31/02/2023"
_NO_SUCH_CURRENCY = "S/."
_NO_SUCH_LOAN = "C99999999999"


@dataclass(frozen=True)
class Dirt:
    """How a table's rows are broken.

    Args:
        wrong: Text that stands in a column instead of its own.
        negated: Columns of amounts that get a minus sign.
        scale: Factor on the shares of rows that are broken or repeated.
    """

    wrong: dict[str, str]
    negated: tuple[str, ...] = ()
    scale: float = 1.0


DIRT = {
    "clientes": Dirt({"FECHA_REGISTRO": _NO_SUCH_DAY, "FECHA_NACIMIENTO": _NO_SUCH_DAY, "DNI": "10117410-3"}),
    "solicitudes": Dirt({"FECHA_SOLICITUD": _NO_SUCH_DAY, "MONEDA": _NO_SUCH_CURRENCY}, ("MONTO_SOLICITADO",)),
    "creditos": Dirt({"FECHA_DESEMBOLSO": _NO_SUCH_DAY, "MONEDA": _NO_SUCH_CURRENCY}, ("MONTO_DESEMBOLSADO",)),
    "cronograma": Dirt({"FECHA_VENCIMIENTO": _NO_SUCH_DAY, "NRO_CREDITO": _NO_SUCH_LOAN}, ("MONTO_CUOTA",)),
    "pagos": Dirt({"FECHA_PAGO": _NO_SUCH_DAY, "NRO_CREDITO": _NO_SUCH_LOAN}, ("MONTO_PAGADO",), _PAYMENTS),
    "situaciones": Dirt({"FECHA_SITUACION": _NO_SUCH_DAY}),
    "rcc": Dirt({"FECHA_REPORTE": _NO_SUCH_DAY, "CLASIFICACION": "9"}, ("DEUDA_DIRECTA",)),
    "movimientos": Dirt({"FECHA_OPERACION": _NO_SUCH_DAY, "MONEDA": _NO_SUCH_CURRENCY}, ("IMPORTE",)),
}


def soil(rng: np.random.Generator, table: pa.Table, dirt: Dirt) -> pa.Table:
    """The table with some of its rows broken and some repeated at its end."""
    for column, text in dirt.wrong.items():
        table = _replace(rng, table, column, pa.scalar(text), _BROKEN * dirt.scale)
    for column in dirt.negated:
        negative = pc.binary_join_element_wise("-", table[column], "")
        table = _replace(rng, table, column, negative, _BROKEN * dirt.scale)
    again = np.flatnonzero(rng.random(table.num_rows) < _REPEATED * dirt.scale)
    return pa.concat_tables([table, table.take(again)])


def _replace(
    rng: np.random.Generator, table: pa.Table, column: str, text: pa.Scalar | pa.ChunkedArray, share: float
) -> pa.Table:
    where = pa.array(rng.random(table.num_rows) < share)
    replaced = pc.if_else(where, text, table[column])
    return table.set_column(table.column_names.index(column), column, replaced)
