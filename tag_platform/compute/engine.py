"""Spark sessions: which engine the settings ask for, and what it needs to reach the object store.

Sail (the embedded default) and Apache Spark are reached by the same PySpark API; what differs between them is here.
The session itself is made by dagster-pyspark's resource in the control plane, or by `session` where Dagster is away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tag_platform.catalog.sources import load_sources
from tag_platform.errors import BadInput, TagPlatformError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tag_platform.settings import Settings

EngineName = Literal["sail", "spark", "connect", "glue"]


def engine_name(settings: Settings) -> EngineName:
    """The engine that the settings ask for. Raises `BadInput` where they ask for two."""
    if settings.spark_master_url and settings.spark_remote:
        raise BadInput(
            "SPARK_MASTER_URL and SPARK_REMOTE are both set; set one of them, or none for the embedded engine."
        )
    if settings.spark_master_url:
        return "spark"
    if settings.spark_remote:
        return "connect"
    # In a Glue job the session is the job's own; a control plane of these environments sends its plans there.
    return "sail" if settings.env == "local" else "glue"


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


def spark_config(settings: Settings, remote: str | None = None, name: EngineName | None = None) -> dict[str, str]:
    """Session settings: address of the engine, the platform's time zone, access to the object store.

    `remote` is the embedded engine's address; `name` replaces the engine that the settings ask for. ANSI
    mode is off everywhere, as in Spark 3.5's default: what does not cast is NULL, which is what the rule language says.
    """
    if not os.environ.get("SPARK_REMOTE", "unset"):
        del os.environ["SPARK_REMOTE"]  # empty is unset for us, and an address for PySpark
    config = {"spark.sql.session.timeZone": settings.timezone, "spark.sql.ansi.enabled": "false"}
    name = name or engine_name(settings)
    if name == "sail":
        return {**config, "spark.remote": str(remote)}
    config["spark.sql.adaptive.enabled"] = "true"
    if name == "connect":
        return {**config, "spark.remote": str(settings.spark_remote)}
    config["spark.app.name"] = "tag_platform"
    if any(table.catalog for table in load_sources(settings.sources).values()):
        config |= metastore_config(settings)
    if name == "glue":  # Glue sets master, user interface and its own S3 client
        return config
    if any(here in str(settings.spark_master_url) for here in ("local", "127.0.0.1")):
        # Tasks on this machine run in this interpreter; PySpark would take the first python3 of the path.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    config |= {
        "spark.master": str(settings.spark_master_url),
        "spark.ui.enabled": "false",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    }
    if any(root.startswith("s3://") for root in (settings.warehouse, settings.lake)):
        config |= s3a_packages(settings)
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


def s3a_packages(settings: Settings) -> dict[str, str]:
    """Spark's own distribution has no S3 client: the one that fits its Hadoop, fetched from Maven Central once and kept
    in ~/.ivy2. `hadoop-aws` asks for the whole AWS SDK (hundreds of megabytes); the parts that S3A uses are 11 to 18.

    `TAG_PLATFORM_SPARK_PACKAGES` replaces them: other coordinates, or `none` where the cluster has the jars.
    """
    given = settings.spark_packages
    if given is not None:
        return {} if given == "none" else {"spark.jars.packages": given}
    import pyspark

    jars = list((Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar"))
    hadoop = jars[0].stem.removeprefix("hadoop-client-api-") if jars else "3.4.2"
    if hadoop.startswith("3.3."):
        modules = [f"com.amazonaws:aws-java-sdk-{part}:1.12.262" for part in ("s3", "sts", "dynamodb")]
        excluded = ["com.amazonaws:aws-java-sdk-bundle"]
    else:
        parts = ("s3", "sts", "s3-transfer-manager", "netty-nio-client")
        modules = [f"software.amazon.awssdk:{part}:2.29.52" for part in parts]
        excluded = ["software.amazon.awssdk:bundle"]
    return {
        "spark.jars.packages": ",".join([f"org.apache.hadoop:hadoop-aws:{hadoop}", *modules]),
        "spark.jars.excludes": ",".join(excluded),
    }


def metastore_config(settings: Settings) -> dict[str, str]:
    """What a session needs to read tables of a metastore. On Glue the job's own settings name the Data Catalog.

    Elsewhere TAG_PLATFORM_HIVE_METASTORE names it (`thrift://host:9083`), or a `hive-site.xml` in SPARK_CONF_DIR does.
    With neither it is an embedded one (Derby, one session at a time) below the platform's home.
    """
    config = {"spark.sql.catalogImplementation": "hive"}
    if settings.hive_metastore is not None:
        return {**config, "spark.hadoop.hive.metastore.uris": settings.hive_metastore}
    own = os.environ.get("SPARK_CONF_DIR") or f"{os.environ.get('SPARK_HOME', '')}/conf"
    if settings.env != "local" or Path(own, "hive-site.xml").exists():
        return config
    folder = settings.home / "metastore"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        **config,
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'derby'};create=true",
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={folder / 'derby.log'}",
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
    }


@contextmanager
def session(settings: Settings, name: EngineName | None = None) -> Iterator[SparkSession]:
    """A session of the chosen engine (`name`, where it is not to be the one that the settings ask for) without Dagster:
    tests, benchmarks, previews, Glue's entry script. Ended at exit."""
    from pyspark.sql import SparkSession

    name = name or engine_name(settings)
    engine = EmbeddedEngine(settings) if name == "sail" else None
    builder = SparkSession.builder
    for key, value in spark_config(settings, engine.remote if engine else None, name).items():
        builder = builder.config(key, value)
    with explained_start(settings):
        spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()
        if engine:
            engine.stop()


@contextmanager
def explained_start(settings: Settings) -> Iterator[None]:
    """An engine that does not start within is a `TagPlatformError` that says what to do."""
    try:
        yield
    except Exception as error:
        raise _not_started(settings, error) from error


def _not_started(settings: Settings, error: Exception) -> TagPlatformError:
    """Words for whoever starts an engine that does not start."""
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    asked = {
        "spark": f"SPARK_MASTER_URL={settings.spark_master_url}",
        "connect": f"SPARK_REMOTE={settings.spark_remote}",
    }
    hint = ""
    if engine_name(settings) == "spark" and "spark.jars.packages" in spark_config(settings):
        hint = (
            " Its S3 client is fetched from Maven Central the first time; without access to it, give the jars to Spark"
            " and set TAG_PLATFORM_SPARK_PACKAGES=none, or keep warehouse and lake on a shared path."
        )
    name = engine_name(settings)
    return TagPlatformError(f"The engine ({asked.get(name, name)}) does not start: {reason}.{hint}")
