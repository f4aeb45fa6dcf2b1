"""Reads batches of rules, one JSON line each, and prints the truths that Apache Spark finds, one JSON line each. For a
process of its own: Spark 3.5 lives in another environment, and a process can hold one kind of session only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from tag_platform_tests.rule_engines import Batch, by_spark

if __name__ == "__main__":
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.conf.set("spark.sql.ansi.enabled", sys.argv[2])
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        print("truths", json.dumps(by_spark(spark, Batch.from_json(line))), flush=True)
    spark.stop()
