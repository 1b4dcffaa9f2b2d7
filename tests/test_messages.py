import re

import pytest
from messages import naming

MESSAGE = "config.yaml: budget is 'huge';\nchoose one of smoke, standard (or full)"


def test_every_part_is_found_in_any_order() -> None:
    assert re.search(naming("choose", "config.yaml", "(or full)"), MESSAGE)


@pytest.mark.parametrize("missing", ["study.yaml", "studies", "config_yaml", "Choose"])
def test_a_part_that_is_missing_does_not_match(missing: str) -> None:
    assert not re.search(naming("config.yaml", missing, "choose"), MESSAGE)
