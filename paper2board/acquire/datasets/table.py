"""Kind ``table``: the rows of a CSV file, numbers from which another number is to be predicted."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from paper2board.acquire.datasets.base import LabelKind, PreparedDataset, check_name
from paper2board.core.errors import UserError

ColumnName = Annotated[str, Field(min_length=1), AfterValidator(check_name)]
"""A name in the file's first line."""


class TableDataset(PreparedDataset):
    """Rows of a CSV file whose first line names the columns. Other columns than those named here are ignored."""

    kind: Literal["table"]
    classes: tuple[()] = ()
    path: str = Field(min_length=1)
    """From the working folder, or absolute; "~" is the home folder."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the file; None: anything is accepted."""
    features: tuple[ColumnName, ...] = Field(min_length=1, max_length=1024)
    """The columns that a network gets, in this order."""
    target: ColumnName
    """The column that it predicts."""
    unit: str = Field(min_length=1)
    """Of the target; "1" for a pure number."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the rows that is drawn for testing."""
    seed: int = Field(default=0, ge=0)
    """Of the draw."""

    labels: ClassVar[frozenset[LabelKind]] = frozenset({"numbers"})
    preparer: ClassVar[str] = "paper2board.acquire.prepare.table"

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if len(set(self.features)) < len(self.features):
            raise ValueError("features: a column is named twice; remove one")
        if self.target in self.features:
            raise ValueError(f"target: {self.target} is a feature, too; remove it there")
        return self

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 1, len(self.features), 1

    @property
    def file(self) -> Path:
        """The CSV file."""
        return Path(self.path).expanduser()

    def own_files(self, mirror: str | None = None) -> dict[str, Path]:
        if not self.file.is_file():
            raise UserError(
                f"data set {self.name}: path: {self.file} is no file; put it there or correct path"
            )
        return {"": self.file}

    def identity(self) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "path"})
