"""Running the user's Python file to get the network that it defines."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from paper2board.core.errors import UserError
from paper2board.core.foreign_code import kept_alive, reason


@contextmanager
def loaded(where: str) -> Iterator[Any]:
    """Yield an instance of the class ``where``, which is ``FILE.py:CLASS``.

    The file is executed. Modules that it imports may lie in its own folder.

    Raises:
        UserError: ``where`` is malformed, the file fails, or the class is no ``torch.nn.Module``.
    """
    file, separator, name = where.rpartition(":")
    path = Path(file)
    if not separator or not name.isidentifier() or path.suffix != ".py":
        raise UserError(f"--module {where} is not FILE.py:CLASS; write it like net.py:Net")
    if not path.is_file():
        raise UserError(f"--module: {path} does not exist; correct the path")
    spec = importlib.util.spec_from_file_location("_users_module", path)
    assert spec is not None and spec.loader is not None  # the suffix is .py
    module = importlib.util.module_from_spec(spec)
    search = sys.path.copy()
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[spec.name] = module  # dataclasses read their own module from here
    try:
        try:
            with kept_alive(), chdir("."):
                spec.loader.exec_module(module)
        except BaseException as error:  # the user's own code, which may even leave
            raise UserError(f"{path} cannot be executed ({reason(error)}); correct it") from error
        if not callable(getattr(module, name, None)):
            raise UserError(f"{path} has no class {name}; correct the name after the colon")
        try:
            with kept_alive(), chdir("."):
                instance = getattr(module, name)()
        except BaseException as error:  # the user's own code, which may even leave
            raise UserError(
                f"{where}: {name}() fails ({reason(error)}); it is called without arguments: give them defaults"
            ) from error
        from torch import nn

        if not isinstance(instance, nn.Module):
            raise UserError(f"{where}: {name}() is no torch.nn.Module; name a class that is one")
        yield instance
    finally:
        sys.path[:] = search
        sys.modules.pop(spec.name, None)
