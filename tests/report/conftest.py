"""One synthetic run, shared by the tests of the report."""

import pytest
from synthetic_run import Run, write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("run"))
