"""The command ``paper2board new-study``: it writes the files of a new study from commented templates."""

from paper2board.new_study.entry import new_study
from paper2board.new_study.request import Request

__all__ = ["Request", "new_study"]
