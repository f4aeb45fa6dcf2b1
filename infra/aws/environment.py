"""What a Glue environment consists of: objects in S3, a role, a policy for the control plane, and the Glue job."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.aws.policies import CODE, RUNS
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import CHECKOUT, PACKAGE, Settings

GLUE_VERSION = "5.1"  # Spark 3.5.6, Python 3.11, Java 17
# What Glue brings itself; everything else of the Spark 3.5 environment is installed from its lock file.
GLUE_BRINGS = {"pyspark", "py4j", "pandas", "numpy", "pyarrow", "boto3", "botocore", "s3transfer", "jmespath"} | {
    *("setuptools", "six", "python-dateutil", "pytz", "tzdata", "urllib3", "pyyaml")
}


@dataclass(frozen=True)
class CodeObject:
    """A file of the job in S3. Its key holds a digest of all code, so that a running job never sees it change."""

    key: str
    content: bytes


def code_objects(settings: Settings) -> list[CodeObject]:
    """Wheel, script, and the source catalog and the package of tag classes where own ones are set."""
    name, wheel = build_wheel()
    files = {name: wheel, "glue_entry.py": (Path(__file__).parent / "glue_entry.py").read_bytes()}
    if settings.sources != PACKAGE / "catalog" / "sources.yaml":
        files["sources.yaml"] = settings.sources.read_bytes()
    if settings.tags_package is not None:
        files["tag_classes.zip"] = pack(settings.tags_package)
    digest = hashlib.sha256()
    for file, content in sorted(files.items()):
        digest.update(file.encode() + b"\0" + hashlib.sha256(content).digest())
    return [CodeObject(f"{CODE}/{digest.hexdigest()[:16]}/{file}", content) for file, content in files.items()]


def pack(package: str) -> bytes:
    """The Python files of an importable package (and the `__init__` of those around it) as a zip that Python imports
    from; the same files give the same bytes. Raises `BadInput` where there is no such package."""
    try:
        found = importlib.util.find_spec(package)
    except ImportError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise BadInput(f"TAG_PLATFORM_TAGS={package} is no package that can be imported here.")
    folder = Path(found.submodule_search_locations[0])
    depth = len(package.split("."))
    root = folder.parents[depth - 1]
    around = [folder.parents[n] / "__init__.py" for n in range(depth - 1)]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted([*filter(Path.exists, around), *folder.rglob("*.py")]):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix())  # dated 1980, whenever it is packed
            archive.writestr(entry, file.read_bytes())
    return content.getvalue()


def build_wheel() -> tuple[str, bytes]:
    """File name and bytes of this checkout's wheel: the same source gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 (our own interpreter)
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise TagPlatformError(f"The wheel cannot be built: {done.stderr.strip()[-500:]}")
        return wheels[0].name, wheels[0].read_bytes()


def job_definition(settings: Settings, role_arn: str, objects: list[CodeObject]) -> dict[str, Any]:
    """The Glue job, as `create_job` takes it without its name. No argument holds a secret: the job reads the database's
    account from Secrets Manager."""
    places = {Path(o.key).name: f"s3://{settings.bucket}/{o.key}" for o in objects}
    wheel = next(place for name, place in places.items() if name.endswith(".whl"))
    arguments = {
        "--mode": "health",
        "--set": ",".join(f"{name}={value}" for name, value in _given(settings, "sources.yaml" in places).items()),
        "--secret": settings.database_secret,
        "--additional-python-modules": ",".join([wheel, *pinned_modules()]),
        "--python-modules-installer-option": "--no-deps",
        "--enable-auto-scaling": "true",
        "--enable-metrics": "true",
        "--enable-continuous-cloudwatch-log": "true",
        "--enable-glue-datacatalog": "true",
        "--TempDir": f"s3://{settings.bucket}/{RUNS}/temporary/",
    }
    if "sources.yaml" in places:
        arguments["--extra-files"] = places["sources.yaml"]
    if "tag_classes.zip" in places:
        arguments["--extra-py-files"] = places["tag_classes.zip"]
    return {
        "Role": role_arn,
        "Command": {"Name": "glueetl", "ScriptLocation": places["glue_entry.py"], "PythonVersion": "3"},
        "DefaultArguments": arguments,
        "GlueVersion": GLUE_VERSION,
        "WorkerType": "G.1X",
        "NumberOfWorkers": settings.glue_workers,
        "MaxRetries": 0,  # the launcher decides what may be tried again
        "Timeout": max(1, round(settings.glue_timeout_minutes)),
        "ExecutionProperty": {"MaxConcurrentRuns": 10},
        **({"Connections": {"Connections": [settings.glue_connection]}} if settings.glue_connection else {}),
    }


def _given(settings: Settings, own_sources: bool) -> dict[str, str]:
    values = {
        "TAG_SYSTEM_ENV": settings.env,
        "MYSQL_HOST": settings.mysql_host,
        "MYSQL_PORT": str(settings.mysql_port),
        "MYSQL_DATABASE": settings.mysql_database,
        "TAG_PLATFORM_WAREHOUSE": settings.warehouse,
        "TAG_PLATFORM_LAKE": settings.lake,
        "TAG_PLATFORM_SHARDS": str(settings.shards),
        "TAG_PLATFORM_TIMEZONE": settings.timezone,
    }
    for name in sorted(settings.model_fields_set):  # how much a merge may change: also for the modes without Dagster
        if name.startswith("gate_"):
            values[str(Settings.model_fields[name].validation_alias)] = str(getattr(settings, name))
    if settings.tags_package is not None:
        values["TAG_PLATFORM_TAGS"] = settings.tags_package
    if own_sources:
        values["TAG_PLATFORM_SOURCES"] = "sources.yaml"
    if settings.tags_package is not None:  # without it, tags would be computed by their rules alone
        values["TAG_PLATFORM_TAGS"] = settings.tags_package
    bad = [name for name, value in values.items() if "," in value]
    if bad:
        raise BadInput(f"{', '.join(bad)}: a comma cannot be passed on to a Glue job.")
    return values


def pinned_modules() -> list[str]:
    """`name==version` of what the job needs beyond Glue's own, from the lock file that the tests run with."""
    text = (CHECKOUT / "requirements-spark35.lock").read_text()
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE)
    return sorted(f"{name}=={version}" for name, version in found if name not in GLUE_BRINGS)
