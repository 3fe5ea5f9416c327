"""Owns the part of a sequence state that an attention cache writes: cells to rows, rows to cells.

It holds the cells' positions and then, layer by layer, the keys of all cells and the values of all
cells, in the order in which they lie in the cache. A row is all of that of one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

PART_HEAD = 8
"""Bytes before the cells: the number of streams, always 1 here, and of cells."""
DATA_HEAD = 8
"""Bytes before the first column: whether values are transposed, and the number of layers."""
COLUMN_HEAD = 12
"""Bytes before a column: the type and the size of what follows."""
_EXT_BYTES = 12
_COPIED_ROWS = 128
_CELL = np.dtype([("pos", "<i4"), ("n_seq_id", "<u4"), ("seq_id", "<i4")])
_CELL_WITH_EXT = np.dtype(
    [("pos", "<i4"), ("n_seq_id", "<u4"), ("ext", "u1", (_EXT_BYTES,)), ("seq_id", "<i4")]
)


@dataclass(frozen=True, slots=True)
class Column:
    """The keys or the values of a layer.

    Attributes:
        head: what is written before them, the same in every state.
        n_bytes: of one token.
        item_bytes: of one number where values are transposed; 0 where a cell's lie together.
    """

    head: bytes
    n_bytes: int
    item_bytes: int

    def cells(self, data: Bytes, n_cells: int) -> npt.NDArray[Any]:
        """Return a view of this column in a state, one row a cell."""
        if not self.item_bytes:
            return data.reshape(n_cells, self.n_bytes)
        return data.view(f"u{self.item_bytes}").reshape(-1, n_cells).T

    def items(self, rows: Bytes) -> npt.NDArray[Any]:
        """Return a view of this column in rows, of the same type as `cells`."""
        return rows.view(f"u{self.item_bytes}") if self.item_bytes else rows


@dataclass(frozen=True, slots=True)
class AttentionPart:
    """The part of one attention cache.

    Attributes:
        has_ext: whether each cell has 12 bytes besides its position; they begin its row.
        data_head: what is written before the first column.
        columns: keys of all layers, then values of all layers.
    """

    has_ext: bool
    data_head: bytes
    columns: tuple[Column, ...]

    @property
    def token_bytes(self) -> int:
        """Bytes of a row."""
        return self._ext_bytes + sum(column.n_bytes for column in self.columns)

    @property
    def _ext_bytes(self) -> int:
        return _EXT_BYTES if self.has_ext else 0

    @property
    def _cell_bytes(self) -> int:
        return (_CELL_WITH_EXT if self.has_ext else _CELL).itemsize

    def data_at(self, n_cells: int) -> int:
        """Return where in the part the cells end."""
        return PART_HEAD + n_cells * self._cell_bytes

    def n_bytes(self, n_cells: int) -> int:
        """Return the size of the part with so many cells."""
        if n_cells == 0:
            return PART_HEAD
        heads = PART_HEAD + DATA_HEAD + COLUMN_HEAD * len(self.columns)
        return heads + n_cells * (self._cell_bytes - self._ext_bytes + self.token_bytes)

    def cells(self, part: Bytes, n_cells: int) -> npt.NDArray[Any]:
        """Return a view of the cells of a part: `pos`, `n_seq_id`, `seq_id`, perhaps `ext`.

        Raises:
            ValueError: it ends within one of them.
        """
        kind = _CELL_WITH_EXT if self.has_ext else _CELL
        return part[PART_HEAD : self.data_at(n_cells)].view(kind)

    def positions(self, part: Bytes, n_cells: int) -> npt.NDArray[np.int64]:
        """Return the position of each cell.

        Raises:
            ValueError: a cell belongs to no sequence or to several.
        """
        cells = self.cells(part, n_cells)
        if not (cells["n_seq_id"] == 1).all():
            raise ValueError("a cell belongs to no one sequence")
        positions: npt.NDArray[np.int64] = cells["pos"].astype(np.int64)
        return positions

    def take(self, part: Bytes, n_cells: int, order: Any, rows: Bytes) -> None:
        """Copy cells to rows.

        Args:
            part: the whole part.
            n_cells: how many it has; at least one.
            order: which cell each row is, or a slice.
            rows: where to; as many bytes wide as a row.

        Raises:
            ValueError: the part has other columns than this one.
        """
        at = self.data_at(n_cells)
        if self.has_ext:
            rows[:, :_EXT_BYTES] = self.cells(part, n_cells)["ext"][order]
        if part[at : at + DATA_HEAD].tobytes() != self.data_head:
            raise ValueError("the state has other layers")
        at, begin = at + DATA_HEAD, self._ext_bytes
        for column in self.columns:
            if part[at : at + COLUMN_HEAD].tobytes() != column.head:
                raise ValueError("the state has layers of other sizes")
            at, data = at + COLUMN_HEAD, at + COLUMN_HEAD
            at += n_cells * column.n_bytes
            target = column.items(rows[:, begin : begin + column.n_bytes])
            target[...] = column.cells(part[data:at], n_cells)[order]
            begin += column.n_bytes

    def put(self, part: Bytes, start: int, pieces: Sequence[Bytes]) -> None:
        """Write rows as cells, those of the position `start` first.

        Args:
            part: where to; `n_bytes` of as many cells as there are rows.
            pieces: the rows, one piece after the other; as many bytes wide as a row.
        """
        n_cells = sum(map(len, pieces))
        part[:PART_HEAD].view("<u4")[:] = 1, n_cells
        if n_cells == 0:
            return
        at = self.data_at(n_cells)
        cells = self.cells(part, n_cells)
        cells["pos"] = np.arange(start, start + n_cells)
        cells["n_seq_id"], cells["seq_id"] = 1, 0
        if self.has_ext:
            _fill(cells["ext"], [piece[:, :_EXT_BYTES] for piece in pieces])
        part[at : at + DATA_HEAD] = np.frombuffer(self.data_head, np.uint8)
        at, begin = at + DATA_HEAD, self._ext_bytes
        for column in self.columns:
            part[at : at + COLUMN_HEAD] = np.frombuffer(column.head, np.uint8)
            at, data = at + COLUMN_HEAD, at + COLUMN_HEAD
            at, end = at + n_cells * column.n_bytes, begin + column.n_bytes
            target = column.cells(part[data:at], n_cells)
            _fill(target, [column.items(piece[:, begin:end]) for piece in pieces])
            begin = end


def _fill(target: npt.NDArray[Any], pieces: Sequence[npt.NDArray[Any]]) -> None:
    """Copy the pieces one after the other, as many rows at a time as caches of processors hold."""
    at = 0
    for piece in pieces:
        for begin in range(0, len(piece), _COPIED_ROWS):
            rows = piece[begin : begin + _COPIED_ROWS]
            target[at : at + len(rows)] = rows
            at += len(rows)
