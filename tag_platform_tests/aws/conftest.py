"""A Glue environment on the fake of AWS, deployed as a user deploys it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from infra.aws.deploy import Deployment
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.aws.fake_glue import FakeGlue

BUCKET = "tag-lake-dev"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGlue]:
    fake = FakeGlue(tmp_path_factory.mktemp("fake_glue"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": fake.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        # How long Pipes waits for messages of a job that is gone: the fake's are there at once, or never.
        patch.setattr("dagster._core.pipes.utils.WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 2)
        boto3.DEFAULT_SESSION = None
        yield fake
    fake.stop()
    boto3.DEFAULT_SESSION = None


def make_account(settings: Settings) -> None:
    """What the platform expects to find: a bucket, and a secret with the database's account."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=settings.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    account = {"username": settings.mysql_user, "password": settings.mysql_password.get_secret_value()}
    secrets = boto3.client("secretsmanager")
    if settings.database_secret not in [entry["Name"] for entry in secrets.list_secrets()["SecretList"]]:
        secrets.create_secret(Name=settings.database_secret, SecretString=json.dumps(account))


def glue_settings(patch: pytest.MonkeyPatch, **variables: str) -> Settings:
    patch.setenv("TAG_SYSTEM_ENV", "glue-dev")
    patch.setenv("DEV_S3_BUCKET", BUCKET)
    for name, value in variables.items():
        patch.setenv(name, value)
    return load_settings()


def deploy(settings: Settings, **options: bool) -> tuple[int, list[str]]:
    said: list[str] = []
    return Deployment(settings, said.append, **options).deploy(), said
