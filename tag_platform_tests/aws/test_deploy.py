"""`python -m infra.aws deploy`: says first, does once, undoes all of its own, and keeps secrets out of everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from infra.aws.deploy import Deployment
from infra.aws.environment import code_objects, job_definition, pack, pinned_modules
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import CHECKOUT, Settings, load_settings
from tag_platform_tests.aws.conftest import BUCKET, deploy, glue_settings, make_account
from tag_platform_tests.aws.fake_glue import PYTHON35, FakeGlue

PASSWORD = "correct horse battery"


@pytest.fixture
def settings(aws: FakeGlue) -> Iterator[Settings]:  # noqa: ARG001
    with pytest.MonkeyPatch.context() as patch:
        yield glue_settings(patch, DEV_MYSQL_HOST="tags.cluster.example", MYSQL_PASSWORD=PASSWORD)


def test_life_of_an_environment(settings: Settings) -> None:
    """Dry run, deployment, a second one that changes nothing, a changed setting, and destruction."""
    with pytest.raises(TagPlatformError, match=f"bucket {BUCKET} does not exist"):
        deploy(settings)
    make_account(settings)
    planned, said = deploy(settings, dry_run=True)
    assert all(line.startswith("would ") for line in said)
    assert boto3.client("glue").get_jobs()["Jobs"] == []
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    done, _ = deploy(settings)
    assert done == planned
    assert deploy(settings) == (0, [])

    more = settings.model_copy(update={"glue_workers": 9})
    assert deploy(more) == (1, ["update Glue job tag-platform-glue-dev: NumberOfWorkers"])
    assert deploy(more) == (0, [])

    said = []
    assert Deployment(more, said.append).destroy() == len(said) > 3
    assert boto3.client("glue").get_jobs()["Jobs"] == []
    assert boto3.client("iam").list_roles()["Roles"] == []
    assert boto3.client("iam").list_policies(Scope="Local")["Policies"] == []
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    assert Deployment(more, said.append).destroy() == 0


def test_no_secret_and_no_star(settings: Settings) -> None:
    """No argument, policy or object of the deployment holds the password, and no right is for everything."""
    if settings.bucket not in [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]]:
        make_account(settings)
    deploy(settings)
    job = boto3.client("glue").get_job(JobName=settings.glue_job)["Job"]
    assert PASSWORD not in json.dumps(job, default=str)
    assert settings.database_secret == job["DefaultArguments"]["--secret"]
    iam = boto3.client("iam")
    policy = iam.get_role_policy(RoleName="tag-platform-glue-dev-job", PolicyName="tag-platform")["PolicyDocument"]
    for statement in policy["Statement"]:
        assert "*" not in statement["Resource"]
        assert not any(action.endswith("*") for action in statement["Action"])
    writing = [s for s in policy["Statement"] if "s3:PutObject" in s["Action"]]
    assert [r for s in writing for r in s["Resource"]] == [
        f"arn:aws:s3:::{BUCKET}/lake/*",
        f"arn:aws:s3:::{BUCKET}/tag_platform/runs/*",
    ]


@pytest.mark.parametrize(("environment", "prefix"), [("glue-dev", "DEV"), ("glue-prod", "PROD")])
def test_dry_run_of_both_environments(aws: FakeGlue, environment: str, prefix: str) -> None:
    """`deploy --dry-run` as a user types it: every change in a line, the end in one, and nothing done."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("S3_BUCKET", f"{environment}-bucket"), ("MYSQL_HOST", "tags.cluster.example")):
            patch.setenv(f"{prefix}_{name}", value)
        patch.setenv("TAG_SYSTEM_ENV", environment)
        make_account(load_settings())
        Deployment(load_settings(), print).destroy()  # of another test
        patch.delenv("TAG_SYSTEM_ENV")
        done = command(environment, "--dry-run")
        assert done.returncode == 0, done.stderr
        *changes, end = done.stdout.splitlines()
        assert end == f"{environment}: {len(changes)} changes would be made"
        what = ["upload", "upload", "create role", "create policy of role", "create policy", "create Glue job"]
        assert [line.removeprefix("would ").startswith(word) for line, word in zip(changes, what, strict=True)] == [
            True
        ] * len(what)
        assert changes[-1] == f"would create Glue job tag-platform-{environment}"
        assert f"tag-platform-{environment}" not in boto3.client("glue").list_jobs()["JobNames"]
        patch.delenv("AWS_DEFAULT_REGION")
        unknown = command(environment, "--dry-run")
        assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1), "one sentence where no region is set"
        assert "region" in unknown.stderr
    assert aws.runs == {}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.aws", "deploy", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_own_tag_classes_go_with_the_job(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of TAG_PLATFORM_TAGS is uploaded, the same bytes each time, and its classes are found in it."""
    package = tmp_path / "acme_rules" / "tags"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    (package / "night_owl.py").write_text(
        "from tag_platform.tags.base import TagClass\n\n\nclass NightOwl(TagClass):\n    tag_id = 77\n"
    )
    (package.parent / "unrelated.py").write_text("SECRET = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = settings.model_copy(update={"tags_package": "acme_rules.tags"})
    objects = {Path(item.key).name: item for item in code_objects(own)}
    job = job_definition(own, "role", list(objects.values()))["DefaultArguments"]
    assert job["--extra-py-files"].endswith("/tag_classes.zip")
    assert "TAG_PLATFORM_TAGS=acme_rules.tags" in job["--set"].split(",")
    packed = tmp_path / "tag_classes.zip"
    packed.write_bytes(objects["tag_classes.zip"].content)
    assert pack("acme_rules.tags") == packed.read_bytes()
    assert not [name for name in zipfile.ZipFile(packed).namelist() if "unrelated" in name]
    code = "from tag_platform.tags.discovery import find_tag_modules as f; print(f('acme_rules.tags')[77])"
    environment = {**os.environ, "PYTHONPATH": f"{packed}{os.pathsep}{CHECKOUT}"}
    found = subprocess.run([PYTHON35, "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "('acme_rules.tags.night_owl',)"
    with pytest.raises(BadInput, match=r"TAG_PLATFORM_TAGS=acme_rules\.none is no package"):
        pack("acme_rules.none")


def test_pinned_modules_are_what_the_tests_run_with() -> None:
    """The job installs exact versions, and not Spark or Arrow, which Glue has."""
    names = {module.partition("==")[0] for module in pinned_modules()}
    assert {"pymysql", "connectorx", "pydantic", "pydantic-settings", "dagster-pipes"} <= names
    assert not names & {"pyspark", "pyarrow", "pandas", "numpy", "dagster"}


def test_refused_without_bucket_or_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SYSTEM_ENV", "glue-prod")
    with pytest.raises(BadInput, match="PROD_S3_BUCKET and PROD_MYSQL_HOST"):
        Deployment(load_settings(), print)
