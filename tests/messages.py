"""What an error message must name, whatever its wording."""

import re


def naming(*parts: str) -> str:
    """Return a pattern for ``pytest.raises(match=…)``: every part occurs in the message, in any order.

    The parts are literal text: the file, the key or port, and the remedy's key word or command.
    """
    return r"(?s)\A" + "".join(f"(?=.*{re.escape(part)})" for part in parts)
