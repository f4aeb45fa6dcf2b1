"""Opens the file systems that hold warehouse and lake: `s3://` by Arrow's S3 client, `file://` locally. For metadata
(listing, sizes, deleting) only: rows are read and written by the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tag_platform.errors import BadInput

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

    from tag_platform.settings import Settings


def open_filesystem(uri: str, settings: Settings) -> tuple[FileSystem, str]:
    """Returns the file system of `uri` and the path within it. Raises `BadInput` for a scheme nobody knows."""
    from pyarrow import fs

    parts = urlsplit(uri)
    if parts.scheme == "file":
        return fs.LocalFileSystem(), unquote(parts.path)
    if parts.scheme not in ("s3", "s3a"):
        raise BadInput(f"{uri}: only s3:// and file:// locations can be read.")
    path = f"{parts.netloc}{unquote(parts.path)}"
    if settings.s3_endpoint is None:  # AWS itself, with the account's own credentials chain
        return fs.S3FileSystem(), path
    endpoint = urlsplit(settings.s3_endpoint)
    return (
        fs.S3FileSystem(
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
            endpoint_override=endpoint.netloc,
            scheme=endpoint.scheme,
            region="us-east-1",
            connect_timeout=5,
            request_timeout=30,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=5),
        ),
        path,
    )
