"""Engines for `rules eval`: a session of its own for the length of one command, whatever the settings say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from tag_platform.rules import Rule
from tag_platform.rules.dataset import Dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def matched_by(engine: str, rules: Sequence[tuple[Rule, date]], dataset: Dataset, timezone: str) -> list[list[str]]:
    """For each rule the sorted users for whom it is TRUE, decided by Sail or by a local Spark, in one query."""
    if not rules or not dataset.users:
        return [[] for _ in rules]
    from tag_platform.rules.spark_eval import matched_users

    with engine_session(engine, timezone) as spark:
        return matched_users(spark, rules, dataset, timezone)


@contextmanager
def engine_session(engine: str, timezone: str) -> Iterator[SparkSession]:
    """A session of the embedded engine (`sail`) or of `local[2]` (`spark`) in the platform's time zone."""
    from pyspark.sql import SparkSession

    server = None
    if engine == "sail":
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        host, port = server.listening_address
        builder = SparkSession.builder.remote(f"sc://{host}:{port}")
    else:
        builder = SparkSession.builder.master("local[2]").appName("rules").config("spark.ui.enabled", "false")
        builder = builder.config("spark.sql.shuffle.partitions", "2").config("spark.driver.bindAddress", "127.0.0.1")
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.log.level", "ERROR")
    session = builder.config("spark.sql.session.timeZone", timezone).getOrCreate()
    try:
        yield session
    finally:
        session.stop()
        if server is not None:
            server.stop()
