"""Apache Spark's own processes on this machine, from PySpark's distribution: a standalone master, workers, and a Spark
Connect server. Everything listens on loopback. `tag-platform up --with spark` starts a master and two workers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from infra.local.folders import Folders
from infra.local.ports import LOOPBACK, ServicePort, answers
from infra.local.program import Program
from tag_platform.errors import BadInput
from tag_platform.settings import Settings

PYTHON = sys.executable
_FOUND = importlib.util.find_spec("pyspark")  # importing it takes a second
HOME = Path(str(_FOUND.origin if _FOUND else "")).parent
WORKERS = 2
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"


def spark_class(name: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of Spark's own programs. It stays in the foreground, so its pid is the one to end."""
    return (str(HOME / "bin" / "spark-class"), name, *arguments)


def environment() -> dict[str, str]:
    """This process's variables without those that a Spark session has left in them (PySpark notes there that it is a
    Connect client), and what Spark's programs need."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return {**kept, **_needed()}


def _needed() -> dict[str, str]:
    """Python tasks run in this environment's interpreter; workers remove what ended applications have left."""
    java = {"JAVA_HOME": os.environ["JAVA_HOME"]} if os.environ.get("JAVA_HOME") else {}
    return {
        **java,
        "SPARK_HOME": str(HOME),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_WORKER_OPTS": "-Dspark.worker.cleanup.enabled=true",
        "PYSPARK_PYTHON": PYTHON,
        "PYSPARK_DRIVER_PYTHON": PYTHON,
    }


def programs(settings: Settings) -> list[Program]:
    """A standalone cluster: the master, and two workers with a share of this machine's cores each. What computes on it
    is started with `SPARK_MASTER_URL=spark://127.0.0.1:7077`."""
    port, ui = settings.spark_port, settings.spark_ui_port
    cores = max(1, (os.cpu_count() or 1) // WORKERS)
    started = [
        Program(
            name="spark-master",
            argv=master(port, ui),
            ports=(
                ServicePort(port, "TAG_PLATFORM_SPARK_PORT", "Spark's master"),
                ServicePort(ui, "TAG_PLATFORM_SPARK_UI_PORT", "the page of Spark's master"),
            ),
            environment=_needed(),
            address=f"spark://{LOOPBACK}:{port}, page http://{LOOPBACK}:{ui}",
            stage=1,
            ready=lambda: None if answers(port) and answers(ui) else "the master does not answer yet",
        )
    ]
    for number in range(1, WORKERS + 1):
        page = ui + number
        started.append(
            Program(
                name=f"spark-worker-{number}",
                argv=worker(port, page, Folders.of(settings).home / "spark" / f"worker-{number}", cores),
                ports=(ServicePort(page, "TAG_PLATFORM_SPARK_UI_PORT", f"the page of Spark's worker {number}"),),
                environment=_needed(),
                address=f"page http://{LOOPBACK}:{page}",
                stage=2,
                ready=lambda page=page: None if answers(page) else "the worker does not answer yet",  # type: ignore[misc]
            )
        )
    return started


def require_java() -> None:
    """Raises `BadInput` where no Java runtime is found."""
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and Path(home, "bin", "java").exists()):
        raise BadInput("Spark needs a Java runtime, 17 or newer. On Debian: apt-get install default-jre-headless.")


def master(port: int, ui_port: int) -> tuple[str, ...]:
    address = ("--host", LOOPBACK, "--port", str(port), "--webui-port", str(ui_port))
    return spark_class("org.apache.spark.deploy.master.Master", *address)


def worker(master_port: int, ui_port: int, folder: Path, cores: int = 1, memory: str = "1g") -> tuple[str, ...]:
    limits = ("--cores", str(cores), "--memory", memory, "--work-dir", str(folder))
    address = ("--host", LOOPBACK, "--webui-port", str(ui_port))
    return spark_class("org.apache.spark.deploy.worker.Worker", *address, *limits, f"spark://{LOOPBACK}:{master_port}")


def connect_server(port: int, master_url: str, configuration: dict[str, str] | None = None) -> tuple[str, ...]:
    """A Spark Connect server (`SPARK_REMOTE=sc://127.0.0.1:<port>`) whose work runs on `master_url`."""
    settings = {
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": str(port),
        "spark.ui.enabled": "false",
        **(configuration or {}),
    }
    options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    submit = ("--class", CONNECT, "--master", master_url, "--name", "tag_platform connect", *options, "spark-internal")
    return spark_class("org.apache.spark.deploy.SparkSubmit", *submit)
