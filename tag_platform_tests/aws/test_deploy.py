"""`python -m infra.aws deploy`: says first, does once, undoes all of its own, and keeps secrets out of everything."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from infra.aws.deploy import Deployment
from infra.aws.environment import pinned_modules
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.aws.conftest import BUCKET, deploy, glue_settings, make_account
from tag_platform_tests.aws.fake_glue import FakeGlue

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


def test_pinned_modules_are_what_the_tests_run_with() -> None:
    """The job installs exact versions, and not Spark or Arrow, which Glue has."""
    names = {module.partition("==")[0] for module in pinned_modules()}
    assert {"pymysql", "connectorx", "pydantic", "pydantic-settings", "dagster-pipes"} <= names
    assert not names & {"pyspark", "pyarrow", "pandas", "numpy", "dagster"}


def test_refused_without_bucket_or_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG_SYSTEM_ENV", "glue-prod")
    with pytest.raises(BadInput, match="PROD_S3_BUCKET and PROD_MYSQL_HOST"):
        Deployment(load_settings(), print)
