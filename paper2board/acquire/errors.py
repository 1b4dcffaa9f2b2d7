"""What goes wrong while data are acquired and is no error yet."""


class SourceError(Exception):
    """Why a source could not supply the data; the next source is tried."""
