"""The stack in containers, as far as it can be checked without Docker: the Compose specification, and what the file
names. It is not run in CI."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from infra.local.services import programs
from tag_platform.settings import CHECKOUT, Settings

FILE = CHECKOUT / "infra" / "local" / "compose.yaml"
STACK: dict[str, Any] = yaml.safe_load(FILE.read_text())  # with `<<` put in, as Compose does
SERVICES: dict[str, dict[str, Any]] = STACK["services"]


def test_the_specification() -> None:
    """Every key and value is one of the Compose specification, and every volume and config that is used is defined."""
    stack = PyCompose.from_json(json.dumps(STACK))
    stack.validate()
    assert {"mysql", "object-store", "spark-master", "spark-worker", "dagster", "daemon", "webserver", "gateway"} < set(
        stack.service_names()
    )
    misspelt = {**STACK, "services": {**SERVICES, "mysql": {**SERVICES["mysql"], "portz": ["3307:3306"]}}}
    with pytest.raises(ValueError, match="portz"):
        PyCompose.from_json(json.dumps(misspelt))


def test_everything_is_published_on_loopback() -> None:
    """On the same ports as without containers; MySQL is the version that is promised."""
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    published = [port for listed in ports.values() for port in listed]
    assert all(port.startswith("127.0.0.1:") for port in published)
    outside = {int(port.split(":")[1]) for port in published}
    settings = Settings()
    assert outside == {
        *(settings.mysql_port, settings.s3_port, settings.ui_port, settings.api_port),
        *(settings.spark_port, settings.spark_ui_port, settings.notebook_port),
    }
    assert SERVICES["mysql"]["image"] == "mysql:8.4"


def test_what_it_names_exists() -> None:
    """Every service that another waits for, every setting, every file of the image."""
    known = {*Settings.variables(), "MYSQL_ROOT_PASSWORD", "JUPYTER_TOKEN"}
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", [])) <= set(SERVICES), name
        assert set(service.get("environment", {})) <= known, name
        if "build" in service:
            context = (FILE.parent / service["build"]["context"]).resolve()
            assert context == CHECKOUT
            assert (context / service["build"]["dockerfile"]).exists()
    copied = re.findall(r"^COPY (.+) \S+$", (FILE.parent / "Dockerfile").read_text(), re.MULTILINE)
    kept = (FILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    for path in shlex.split(" ".join(copied)):
        assert (CHECKOUT / path).exists(), path
        assert f"!{path}" in kept, path


def test_it_starts_the_programs_of_the_local_deployment() -> None:
    """A program that is added to `make up` is not forgotten here."""
    names = {"database": "mysql", "code-server": "dagster"}
    settings = Settings()
    assert {names.get(program.name, program.name) for program in programs(settings)} <= set(SERVICES)
