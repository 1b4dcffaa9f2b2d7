"""Text of the written files: Jinja2 templates, YAML scalars, layers."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from paper2board.networks.spec import NetworkSpec

TEMPLATES = Path(__file__).parent / "templates"


def render(kind: str, context: dict[str, Any]) -> str:
    """Return the file of this kind: dataset, study, claims or tables. An unknown name in a template is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{kind}.yaml.j2").render(context)


def yaml_scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted where YAML needs it, also between braces."""
    listed = yaml.safe_dump([text], default_flow_style=True, width=1_000_000, allow_unicode=True)
    return listed.strip().removeprefix("[").removesuffix("]")


def layer_lines(network: NetworkSpec) -> list[str]:
    """Return each layer as one line of YAML, without the keys that have their default value."""
    lines = []
    for layer in network.layers:
        keys = {"name": layer.name, "op": layer.op} | layer.model_dump(mode="json", exclude_defaults=True)
        lines.append(yaml.safe_dump(keys, default_flow_style=True, sort_keys=False, width=10_000).strip())
    return lines
