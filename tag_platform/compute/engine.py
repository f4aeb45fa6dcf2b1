"""Spark sessions: which engine the settings ask for, and what it needs to reach the object store.

Sail (the embedded default) and Apache Spark are reached by the same PySpark API; what differs between them is here.
The session itself is made by dagster-pyspark's resource in the control plane, or by `session` where Dagster is away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tag_platform.errors import BadInput

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tag_platform.settings import Settings

EngineName = Literal["sail", "spark", "connect"]


def engine_name(settings: Settings) -> EngineName:
    """The engine that the settings ask for. Raises `BadInput` where they ask for two."""
    if settings.spark_master_url and settings.spark_remote:
        raise BadInput(
            "SPARK_MASTER_URL and SPARK_REMOTE are both set; set one of them, or none for the embedded engine."
        )
    return "spark" if settings.spark_master_url else "connect" if settings.spark_remote else "sail"


class EmbeddedEngine:
    """A Sail server in this process, on a free loopback port, for as long as the object lives."""

    def __init__(self, settings: Settings) -> None:
        os.environ.setdefault("RUST_LOG", "error")
        # Sail's object store client reads the environment, and only when the server starts.
        if settings.s3_endpoint is not None:
            os.environ["AWS_ENDPOINT"] = os.environ["AWS_ENDPOINT_URL"] = settings.s3_endpoint
            os.environ["AWS_ALLOW_HTTP"] = str(settings.s3_endpoint.startswith("http://")).lower()
            os.environ["AWS_ACCESS_KEY_ID"] = settings.s3_access_key
            os.environ["AWS_SECRET_ACCESS_KEY"] = settings.s3_secret_key.get_secret_value()
            os.environ.setdefault("AWS_REGION", "us-east-1")
        from pysail.spark import SparkConnectServer

        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)

    @property
    def remote(self) -> str:
        host, port = self._server.listening_address
        return f"sc://{host}:{port}"

    def stop(self) -> None:
        self._server.stop()


def spark_config(settings: Settings, remote: str | None = None) -> dict[str, str]:
    """Session settings: address of the engine, the platform's time zone, access to the object store.

    `remote` is the embedded engine's address. ANSI mode is off everywhere, as in Spark 3.5's default: what does not
    cast is NULL, which is what the rule language says.
    """
    config = {"spark.sql.session.timeZone": settings.timezone, "spark.sql.ansi.enabled": "false"}
    name = engine_name(settings)
    if name == "sail":
        return {**config, "spark.remote": str(remote)}
    if name == "connect":
        return {**config, "spark.remote": str(settings.spark_remote)}
    config |= {
        "spark.master": str(settings.spark_master_url),
        "spark.app.name": "tag_platform",
        "spark.sql.adaptive.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    }
    if settings.s3_endpoint is not None:
        endpoint = urlsplit(settings.s3_endpoint)
        config |= {
            "spark.hadoop.fs.s3a.endpoint": settings.s3_endpoint,
            "spark.hadoop.fs.s3a.access.key": settings.s3_access_key,
            "spark.hadoop.fs.s3a.secret.key": settings.s3_secret_key.get_secret_value(),
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(endpoint.scheme == "https").lower(),
        }
    return config


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    """A session of the chosen engine without Dagster (tests, benchmarks, Glue's entry script), ended at exit."""
    from pyspark.sql import SparkSession

    engine = EmbeddedEngine(settings) if engine_name(settings) == "sail" else None
    builder = SparkSession.builder
    for key, value in spark_config(settings, engine.remote if engine else None).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()
        if engine:
            engine.stop()
