"""Every setting of the platform, read from the environment in this one place.

The seed's names (`MYSQL_*`, `S3_*`, `SPARK_*`, `API_*`, `DEV_*`, `PROD_*`, `TAG_SYSTEM_ENV`) keep their meaning; the
platform's own start with `TAG_PLATFORM_`. The defaults are those of the local deployment and bind to loopback.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tag_platform.errors import BadInput

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").exists() else Path.cwd()


def _shard_count(value: int) -> int:
    if not 1 <= value <= 1024 or value & (value - 1):
        raise ValueError("must be a power of two from 1 to 1024")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{value!r} is no time zone of the IANA database, such as Asia/Shanghai") from error
    return value


_OWNER = r"\s*(team:[A-Za-z0-9_]+|[^@\s,]+@[^@\s,]+\.[^@\s,]+)\s*"
_OWNERS = rf"^{_OWNER}(,{_OWNER})*$"
Port = Annotated[int, Field(ge=1, le=65535)]

Share = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """One reading of the environment. Properties hold what follows from several variables."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True)

    env: Literal["local", "glue-dev", "glue-prod"] = Field("local", validation_alias="TAG_SYSTEM_ENV")

    mysql_host_given: str | None = Field(None, validation_alias="MYSQL_HOST")
    mysql_port: Port = Field(3307, validation_alias="MYSQL_PORT")
    mysql_user: str = Field("tag_user", validation_alias="MYSQL_USER")
    mysql_password: SecretStr = Field(SecretStr("tag_pass"), validation_alias="MYSQL_PASSWORD")
    mysql_database: str = Field("tag_system", validation_alias="MYSQL_DATABASE")
    dagster_database: str = Field("tag_dagster", validation_alias="TAG_PLATFORM_DAGSTER_DATABASE")

    s3_endpoint_given: str | None = Field(None, validation_alias="S3_ENDPOINT")
    s3_access_key: str = Field("minioadmin", validation_alias="S3_ACCESS_KEY")
    s3_secret_key: SecretStr = Field(SecretStr("minioadmin"), validation_alias="S3_SECRET_KEY")
    s3_port: Port = Field(9000, validation_alias="TAG_PLATFORM_S3_PORT")  # of the local object store

    spark_master_url: str | None = Field(None, validation_alias="SPARK_MASTER_URL")
    spark_remote: str | None = Field(None, validation_alias="SPARK_REMOTE")

    # Maven coordinates of an S3 client; nothing takes the one that fits the installed PySpark, `none` none.
    spark_packages: str | None = Field(None, validation_alias="TAG_PLATFORM_SPARK_PACKAGES")

    # Address of the metastore whose tables the source catalog names: see tag_platform.compute.engine.
    hive_metastore: str | None = Field(None, validation_alias="TAG_PLATFORM_HIVE_METASTORE")

    api_host: str = Field("127.0.0.1", validation_alias="API_HOST")
    api_port: Port = Field(5000, validation_alias="API_PORT")
    api_tokens: SecretStr | None = Field(None, validation_alias="TAG_PLATFORM_API_TOKENS")

    # What counting one previewed rule may take in the gateway: see tag_platform.gateway.preview.
    preview_seconds: Annotated[int, Field(ge=1, le=600)] = Field(30, validation_alias="TAG_PLATFORM_PREVIEW_SECONDS")
    preview_memory_mb: Annotated[int, Field(ge=64)] = Field(2048, validation_alias="TAG_PLATFORM_PREVIEW_MEMORY_MB")

    dev_s3_bucket: str | None = Field(None, validation_alias="DEV_S3_BUCKET")
    dev_mysql_host: str | None = Field(None, validation_alias="DEV_MYSQL_HOST")
    prod_s3_bucket: str | None = Field(None, validation_alias="PROD_S3_BUCKET")
    prod_mysql_host: str | None = Field(None, validation_alias="PROD_MYSQL_HOST")

    # Runs of plans as Glue jobs: see tag_platform.defs.glue.
    glue_job_given: str | None = Field(None, validation_alias="TAG_PLATFORM_GLUE_JOB")
    glue_timeout_minutes: Positive = Field(120, validation_alias="TAG_PLATFORM_GLUE_TIMEOUT_MINUTES")
    glue_attempts: Annotated[int, Field(ge=1, le=10)] = Field(2, validation_alias="TAG_PLATFORM_GLUE_ATTEMPTS")
    glue_poll_seconds: Positive = Field(5, validation_alias="TAG_PLATFORM_GLUE_POLL_SECONDS")
    glue_workers: Annotated[int, Field(ge=2, le=1000)] = Field(4, validation_alias="TAG_PLATFORM_GLUE_WORKERS")
    glue_connection: str | None = Field(None, validation_alias="TAG_PLATFORM_GLUE_CONNECTION")
    glue_dpu_hour_usd: Share = Field(0.44, validation_alias="TAG_PLATFORM_GLUE_DPU_HOUR_USD")
    database_secret_given: str | None = Field(None, validation_alias="TAG_PLATFORM_DATABASE_SECRET")

    warehouse_given: str | None = Field(None, validation_alias="TAG_PLATFORM_WAREHOUSE")
    lake_given: str | None = Field(None, validation_alias="TAG_PLATFORM_LAKE")
    sources: Path = Field(PACKAGE / "catalog" / "sources.yaml", validation_alias="TAG_PLATFORM_SOURCES")
    home_given: Path | None = Field(None, validation_alias="TAG_PLATFORM_HOME")
    shards: Annotated[int, AfterValidator(_shard_count)] = Field(8, validation_alias="TAG_PLATFORM_SHARDS")
    # Shards that one run of a backfill takes; nothing means all of them.
    shards_per_run: Annotated[int, Field(ge=1)] | None = Field(None, validation_alias="TAG_PLATFORM_SHARDS_PER_RUN")
    timezone: Annotated[str, AfterValidator(_zone)] = Field("UTC", validation_alias="TAG_PLATFORM_TIMEZONE")

    # How much one merge may change before it asks: see tag_platform.compute.gate.
    gate_min_users: Annotated[int, Field(ge=1)] = Field(1_000, validation_alias="TAG_PLATFORM_GATE_MIN_USERS")
    gate_max_left_share: Share = Field(0.8, validation_alias="TAG_PLATFORM_GATE_MAX_LEFT_SHARE")
    gate_max_entered_share: Share = Field(2.0, validation_alias="TAG_PLATFORM_GATE_MAX_ENTERED_SHARE")
    gate_max_losing_share: Share = Field(0.5, validation_alias="TAG_PLATFORM_GATE_MAX_LOSING_SHARE")
    gate_max_source_lost_share: Share = Field(0.3, validation_alias="TAG_PLATFORM_GATE_MAX_SOURCE_LOST_SHARE")
    gate_max_source_gained_share: Share = Field(2.0, validation_alias="TAG_PLATFORM_GATE_MAX_SOURCE_GAINED_SHARE")

    # A package with tag classes of one's own, such as acme.tags: see tag_platform.tags.discovery.
    tags_package: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] | None = Field(
        None, validation_alias="TAG_PLATFORM_TAGS"
    )

    # Whom the UI names as owners of the assets: "team:growth,ann@example.com".
    owners_given: Annotated[str, Field(pattern=_OWNERS)] | None = Field(None, validation_alias="TAG_PLATFORM_OWNERS")

    ui_host: str = Field("127.0.0.1", validation_alias="TAG_PLATFORM_UI_HOST")
    ui_port: Port = Field(3000, validation_alias="TAG_PLATFORM_UI_PORT")
    code_server_port: Port = Field(4000, validation_alias="TAG_PLATFORM_CODE_SERVER_PORT")

    # Of `up --with spark,notebook`. The workers' pages are on the ports after the master's.
    spark_port: Port = Field(7077, validation_alias="TAG_PLATFORM_SPARK_PORT")
    spark_ui_port: Annotated[int, Field(ge=1, le=65533)] = Field(8080, validation_alias="TAG_PLATFORM_SPARK_UI_PORT")
    notebook_port: Port = Field(8888, validation_alias="TAG_PLATFORM_NOTEBOOK_PORT")
    notebook_token: SecretStr = Field(SecretStr("tag_system_2024"), validation_alias="TAG_PLATFORM_NOTEBOOK_TOKEN")

    @property
    def home(self) -> Path:
        """Folder of local state: data of the local services, logs, the last good catalog."""
        return (self.home_given or CHECKOUT / ".tag_platform").absolute()

    @property
    def mysql_host(self) -> str:
        by_env = {"glue-dev": self.dev_mysql_host, "glue-prod": self.prod_mysql_host}.get(self.env)
        return self.mysql_host_given or by_env or "127.0.0.1"

    @property
    def runs_own_database(self) -> bool:
        """True where the local deployment starts the database server: nobody named one."""
        return self.env == "local" and self.mysql_host_given is None

    @property
    def s3_endpoint(self) -> str | None:
        """Address of the object store; None means AWS S3 itself."""
        if self.s3_endpoint_given or self.env != "local":
            return self.s3_endpoint_given
        return f"http://127.0.0.1:{self.s3_port}"

    @property
    def runs_own_object_store(self) -> bool:
        return self.env == "local" and self.s3_endpoint_given is None

    @property
    def bucket(self) -> str:
        return {"glue-dev": self.dev_s3_bucket, "glue-prod": self.prod_s3_bucket}.get(self.env) or "tag-system"

    @property
    def glue_job(self) -> str:
        """The name of the environment's Glue job."""
        return self.glue_job_given or f"tag-platform-{self.env}"

    @property
    def database_secret(self) -> str:
        """The name of the secret with the database's account, in AWS Secrets Manager."""
        return self.database_secret_given or f"tag-platform/{self.env}/mysql"

    @property
    def owners(self) -> list[str]:
        return [owner.strip() for owner in (self.owners_given or "").split(",") if owner.strip()]

    @property
    def warehouse(self) -> str:
        """Root of the raw Hive tables, as a URI without a closing slash."""
        return _as_uri(self.warehouse_given or f"s3://{self.bucket}/warehouse")

    @property
    def lake(self) -> str:
        """Root of the platform's snapshots, as a URI without a closing slash."""
        return _as_uri(self.lake_given or f"s3://{self.bucket}/lake")

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def dagster_mysql_url(self) -> str:
        """Dagster's storage. It opens a connection per operation, and PyMySQL's TLS set-up costs 38 ms each, so
        loopback goes without TLS."""
        loopback = self.mysql_host in ("127.0.0.1", "localhost", "::1")
        return self.mysql_url(self.dagster_database) + ("?ssl_disabled=true" if loopback else "")

    def mysql_url(self, database: str, scheme: str = "mysql+pymysql") -> str:
        user, password = quote(self.mysql_user, safe=""), quote(self.mysql_password.get_secret_value(), safe="")
        return f"{scheme}://{user}:{password}@{self.mysql_host}:{self.mysql_port}/{database}"

    def environment(self) -> dict[str, str]:
        """Variables that Dagster's own processes need: `dagster.yaml` and `workspace.yaml` name them."""
        return {
            "DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(CHECKOUT),
            "TAG_PLATFORM_HOME": str(self.home),
            "TAG_PLATFORM_DAGSTER_STATE": str(self.home / "dagster"),
            "TAG_PLATFORM_DAGSTER_URL": self.dagster_mysql_url,
            "TAG_PLATFORM_CODE_SERVER_PORT": str(self.code_server_port),
            "DAGSTER_EVENT_BATCH_SIZE": "1000",  # events that are stored together: see tag_platform.dagster_storage
        }

    @classmethod
    def variables(cls) -> list[str]:
        """Names of all environment variables that are read here."""
        return sorted(str(field.validation_alias) for field in cls.model_fields.values())


def _as_uri(root: str) -> str:
    if "://" not in root:
        root = Path(root).absolute().as_uri()
    return root.replace("s3a://", "s3://", 1).rstrip("/")


def load_settings() -> Settings:
    """Reads the environment. Raises `BadInput` that names each variable that cannot be used and why."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise BadInput("Settings that cannot be used:\n  " + "\n  ".join(lines)) from error
