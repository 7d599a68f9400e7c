"""Reading delimited text (CSV): any encoding, delimiter and quote, with or without a header line.

No row is lost: a line with too many or too few columns becomes a row of nulls with a problem. A file whose quotes do
not close would swallow rows in silence, so a last row is put behind the file and must come out again.
"""

import codecs
import csv
import io
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from components.credit.book.mapping import Layout
from components.credit.errors import InputError
from components.credit.progress import Progress
from components.ingest.rows import Batch, check_columns

_BLOCK = 8 << 20
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
# First bytes of what is often delivered under the name of a text file.
_OTHER_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "save it as CSV, or end a zip archive's name in .zip"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind", "save it as CSV"),
    (b"\x1f\x8b", "compressed by gzip", "end its name in .gz"),
    (b"PAR1", "Parquet", "end its name in .parquet"),
)

Opener = Callable[[], IO[bytes]]


def check_delimited(place: str, opener: Opener, layout: Layout, needed: Sequence[str], progress: Progress) -> None:
    """See, by its beginning, that a delimited file can be read and has the columns that are needed.

    Raises:
        InputError: It is empty, in another encoding, with another delimiter, or lacks a column.
    """
    with opener() as raw:
        beginning = raw.read(1 << 20)
    if not beginning.strip():
        raise InputError(f"{place} is empty; deliver it again.")
    for magic, kind, remedy in _OTHER_KINDS:
        if beginning.startswith(magic):
            raise InputError(f"{place} is {kind} by its content, not delimited text; {remedy}.")
    _warn_of_utf8(place, beginning, layout.encoding, progress)
    first = _first_line(place, opener, layout)
    now = _fit(first, layout.delimiter, layout.header, needed)
    for delimiter, words in _DELIMITERS.items():
        if _fit(first, delimiter, layout.header, needed) > now:
            raise InputError(
                f"{place} does not hold the columns of the mapping when split at {layout.delimiter!r}, but does when "
                f"split at {words}; set delimiter: {json.dumps(delimiter)} for its source."
            )
    if layout.header is None:
        check_columns(place, _split(first, layout), needed)
    else:
        check_columns(f"The header that the mapping gives for {place}", layout.header, needed)


def read_delimited(place: str, opener: Opener, layout: Layout, needed: Sequence[str]) -> Iterator[Batch]:
    """The rows of a delimited file, all columns as text.

    Raises:
        InputError: The encoding does not fit, a quote does not close, or no line has the columns of the header.
    """
    names = layout.header or _split(_first_line(place, opener, layout), layout)
    skipped = 0 if layout.header is not None else 1  # records before the first row
    positions = {column: names.index(column) for column in needed}
    mark = secrets.token_hex(16)
    malformed: list[tuple[int, int]] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        malformed.append((row.number, row.actual_columns))
        return "skip"

    record, readable, ended = 1, 0, False
    with opener() as raw:
        text = _Utf8(place, raw, layout.encoding, f"\n{mark}{layout.delimiter * (len(names) - 1)}\n")
        try:
            for batch in _open(text, names, layout, {0, *positions.values()}, keep):
                ended = batch.num_rows > 0 and batch.column("0")[-1].as_py() == mark
                batch = batch.slice(0, batch.num_rows - 1) if ended else batch
                numbers, record, lines = _numbered(batch.num_rows, record, malformed, last=ended)
                if numbers.size and numbers[0] <= skipped:
                    batch, numbers = batch.slice(skipped), numbers[skipped:]
                readable += batch.num_rows
                if numbers.size or lines:
                    yield _in_order(batch, numbers - skipped, lines, positions, len(names), skipped)
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{place} cannot be split into rows behind row {max(record - 1 - skipped, 0)}: see that each quote "
                f"that opens there closes, and that its source's 'quote' and 'delimiter' are right."
            ) from error
    if not ended:
        last = max([record - 1, *(number for number, _ in malformed)]) - skipped
        raise InputError(
            f"{place}: a quote that opens in row {last} or before never closes; mend it, or set its source's 'quote'."
        )
    if not readable and record - 1 > skipped:
        raise InputError(
            f"{place}: no row has {len(names)} columns when split at {layout.delimiter!r}; set its source's "
            "'delimiter', or mend its 'header'."
        )


class _Utf8(io.RawIOBase):
    """A file's text as UTF-8 bytes, whatever its encoding, with a last line put behind it."""

    def __init__(self, place: str, raw: IO[bytes], encoding: str, last: str) -> None:
        self._place = place
        self._raw = raw
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._last = last
        self._ready = memoryview(b"")
        self._bytes = 0
        self._line = 1
        self._at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill the buffer; fewer bytes come at the end alone.

        pyarrow takes what one call gives as a block, and a row may lie in two blocks at most: a rest of a few bytes as
        a block of its own would leave a row in three.
        """
        filled = 0
        while filled < len(buffer) and (self._ready or not self._at_end):
            if not self._ready:
                chunk = self._raw.read(_BLOCK)
                self._at_end = not chunk
                text = self._decoded(chunk) + (self._last if self._at_end else "")
                self._ready = memoryview(text.encode())
            count = min(len(buffer) - filled, len(self._ready))
            buffer[filled : filled + count] = self._ready[:count]
            self._ready = self._ready[count:]
            filled += count
        return filled

    def _decoded(self, chunk: bytes) -> str:
        waiting = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(chunk, final=not chunk)
            text.encode()  # a lone surrogate, which some decoders let through, stops here
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            line = self._line + chunk[:start].count(b"\n")
            raise _encoding_error(self._place, self._encoding, line, self._bytes - waiting + start, chunk) from error
        self._bytes += len(chunk)
        self._line += text.count("\n")
        return text


def _encoding_error(place: str, encoding: str, line: int, offset: int, data: bytes) -> InputError:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and offset == 0:
        likely = "utf-16"
    else:
        likely = "latin-1" if _is_utf8(encoding) else "utf-8"
    return InputError(
        f"{place}, line {line} (byte {offset}), is not text in {encoding}; set its source's 'encoding', such as "
        f"{likely}."
    )


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _warn_of_utf8(place: str, beginning: bytes, encoding: str, progress: Progress) -> None:
    """Warn where UTF-8 is about to be read as a one-byte encoding, which garbles accents without an error."""
    if _is_utf8(encoding) or beginning.isascii():
        return
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return
    progress.warn(f"{place} looks like UTF-8 but is read as {encoding}; set its source's 'encoding' to utf-8.")


def _first_line(place: str, opener: Opener, layout: Layout) -> str:
    """The text of the first line that is not blank.

    Raises:
        InputError: It is in another encoding, or there is none.
    """
    with opener() as raw:
        text = io.TextIOWrapper(io.BufferedReader(_Utf8(place, raw, layout.encoding, "")), "utf-8-sig", newline="")
        quote, lines = layout.quote, ""
        for line in text:
            lines += line
            if lines.strip("\r\n") and lines.count(quote) % 2 == 0:
                return lines.strip("\r\n")
            if len(lines) > _BLOCK:
                break
            lines = "" if not lines.strip("\r\n") else lines
    raise InputError(f"{place} has no first line that can be read; see its source's 'quote' and 'encoding'.")


def _split(header: str, layout: Layout) -> list[str]:
    rows = csv.reader([header], delimiter=layout.delimiter, quotechar=layout.quote)
    return [name.strip() for name in next(rows)]


def _fit(line: str, delimiter: str, header: list[str] | None, needed: Sequence[str]) -> int:
    """How well a delimiter fits a file's first line: needed columns found, or whether their number is the header's."""
    names = [name.strip().strip('"') for name in line.split(delimiter)]
    return sum(column in names for column in needed) if header is None else len(names) == len(header)


def _open(
    text: io.RawIOBase,
    names: Sequence[str],
    layout: Layout,
    positions: set[int],
    keep: Callable[[pyarrow.csv.InvalidRow], str],
) -> pyarrow.csv.CSVStreamingReader:
    columns = [str(position) for position in range(len(names))]
    return pyarrow.csv.open_csv(
        text,
        # One thread, since only then does a malformed line know its number.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=columns),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char=layout.quote,
            newlines_in_values=True,
            invalid_row_handler=keep,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=[str(position) for position in sorted(positions)],
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )


def _numbered(
    count: int, record: int, malformed: list[tuple[int, int]], *, last: bool
) -> tuple[np.ndarray, int, list[tuple[int, int]]]:
    """Numbers of ``count`` readable records from ``record`` on, the next number, and the malformed among them.

    The malformed records that are passed are taken from the list.
    """
    bad = np.array([number for number, _ in malformed], dtype=np.int64)
    candidates = np.arange(record, record + count + bad.size, dtype=np.int64)
    numbers = candidates[~np.isin(candidates, bad)][:count]
    following = int(numbers[-1]) + 1 if count else record
    passed = [line for line in malformed if last or line[0] < following]
    del malformed[: len(passed)]
    if passed:
        following = max(following, passed[-1][0] + 1)
    return numbers, following, passed


def _in_order(
    batch: pa.RecordBatch,
    rows: np.ndarray,
    lines: list[tuple[int, int]],
    positions: dict[str, int],
    expected: int,
    skipped: int,
) -> Batch:
    """A batch of the readable rows and the malformed lines, in the order of the file."""
    columns = {column: batch.column(str(position)) for column, position in positions.items()}
    problems = pa.nulls(rows.size, pa.string())
    if not lines:
        return Batch(columns, pa.array(rows), problems)
    numbers = np.array([number - skipped for number, _ in lines], dtype=np.int64)
    order = pa.array(np.argsort(np.concatenate([rows, numbers]), kind="stable"))
    sentences = pa.array([f"line: has {actual} columns instead of {expected}" for _, actual in lines], pa.string())
    empty = pa.nulls(len(lines), pa.string())
    return Batch(
        {name: pa.concat_arrays([column, empty]).take(order) for name, column in columns.items()},
        pa.array(np.concatenate([rows, numbers])).take(order),
        pa.concat_arrays([problems, sentences]).take(order),
    )
