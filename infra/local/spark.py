"""Apache Spark's own processes on this machine, from PySpark's distribution: a standalone master, workers, and a Spark
Connect server. Everything listens on loopback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyspark

PYTHON = sys.executable
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"


def spark_class(name: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of Spark's own programs. It stays in the foreground, so its pid is the one to end."""
    return (str(Path(pyspark.__file__).parent / "bin" / "spark-class"), name, *arguments)


def environment() -> dict[str, str]:
    """This process's variables without those that a Spark session has left in them (PySpark notes there that it is a
    Connect client), and what Spark's programs need: Python tasks run in this environment's interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return {
        **kept,
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": PYTHON,
        "PYSPARK_DRIVER_PYTHON": PYTHON,
    }


def master(port: int, ui_port: int) -> tuple[str, ...]:
    address = ("--host", "127.0.0.1", "--port", str(port), "--webui-port", str(ui_port))
    return spark_class("org.apache.spark.deploy.master.Master", *address)


def worker(master_port: int, ui_port: int, folder: Path, cores: int = 1, memory: str = "1g") -> tuple[str, ...]:
    limits = ("--cores", str(cores), "--memory", memory, "--work-dir", str(folder))
    address = ("--host", "127.0.0.1", "--webui-port", str(ui_port))
    return spark_class("org.apache.spark.deploy.worker.Worker", *address, *limits, f"spark://127.0.0.1:{master_port}")


def connect_server(port: int, master_url: str, configuration: dict[str, str] | None = None) -> tuple[str, ...]:
    """A Spark Connect server (`SPARK_REMOTE=sc://127.0.0.1:<port>`) whose work runs on `master_url`."""
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.ui.enabled": "false",
        **(configuration or {}),
    }
    options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    submit = ("--class", CONNECT, "--master", master_url, "--name", "tag_platform connect", *options, "spark-internal")
    return spark_class("org.apache.spark.deploy.SparkSubmit", *submit)
