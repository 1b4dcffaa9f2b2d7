"""Tarballs made for tests."""

import io
import tarfile


def tar(members: dict[str, bytes]) -> bytes:
    """Return a ``.tar.gz`` of ``members``, contents by name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()
