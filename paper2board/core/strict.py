"""The base of all typed data: configuration files, evidence, manifests, logs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import CoreSchema, core_schema


class StrictModel(BaseModel):
    """Data that cannot change, with the declared keys alone and without NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class OneOf:
    """Annotation of a text that is one of ``names``, as ``Literal`` is, where the names are the keys of a table.

    ``Annotated[str, OneOf(TABLE)]`` keeps the names in one place; a type checker sees a text.
    """

    names: Iterable[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))
