"""Brings a Glue environment to what this checkout and these settings say, or takes it away. Everything is compared
first: a second deployment changes nothing, and a dry run only says what it would do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.environment import CodeObject, code_objects, job_definition
from infra.aws.policies import ASSUME_ROLE, CODE, control_policy, job_policy
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import Settings

Say = Callable[[str], None]
INLINE_POLICY = "tag-platform"


class Deployment:
    """One environment. `dry_run` reads and says, and changes nothing."""

    def __init__(self, settings: Settings, say: Say, dry_run: bool = False) -> None:
        if settings.env == "local":
            raise BadInput("Only glue-dev and glue-prod are deployed to AWS.")
        prefix, bucket, host = {
            "glue-dev": ("DEV", settings.dev_s3_bucket, settings.dev_mysql_host),
            "glue-prod": ("PROD", settings.prod_s3_bucket, settings.prod_mysql_host),
        }[settings.env]
        if not bucket or not (host or settings.mysql_host_given):
            raise BadInput(f"{settings.env} needs {prefix}_S3_BUCKET and {prefix}_MYSQL_HOST.")
        self.settings, self.say, self.dry_run = settings, say, dry_run
        try:
            self.s3, self.iam, self.glue = boto3.client("s3"), boto3.client("iam"), boto3.client("glue")
            self.secrets = boto3.client("secretsmanager")
        except BotoCoreError as error:
            raise TagPlatformError(f"{settings.env}: {error} Set AWS_DEFAULT_REGION, or a profile.") from error
        self.role = f"tag-platform-{settings.env}-job"
        self.control = f"tag-platform-{settings.env}-control"
        self.changes = 0

    def deploy(self) -> int:
        """Returns how many things were (or would be) changed. Raises `TagPlatformError` where bucket or secret are
        missing: both hold what is not ours to create."""
        try:
            self._require()
            identity = boto3.client("sts").get_caller_identity()
            account, region = identity["Account"], self.glue.meta.region_name
            objects = code_objects(self.settings)
            for item in objects:
                self._object(item)
            self._role(job_policy(self.settings, account, region))
            self._control_policy(account, control_policy(self.settings, account, region))
            self._job(job_definition(self.settings, f"arn:aws:iam::{account}:role/{self.role}", objects))
        except (ClientError, BotoCoreError) as error:
            raise TagPlatformError(f"{self.settings.env}: {error}") from error
        return self.changes

    def destroy(self) -> int:
        """Removes job, policies, role and code. Bucket, secret, warehouse, lake and reports stay."""
        try:
            account = boto3.client("sts").get_caller_identity()["Account"]
            if self._current_job() is not None:
                self._do(f"delete Glue job {self.settings.glue_job}", self._delete_job)
            if self._missing_is_none(self.iam.get_role, RoleName=self.role) is not None:
                self._do(f"delete role {self.role}", self._delete_role)
            arn = f"arn:aws:iam::{account}:policy/{self.control}"
            if self._missing_is_none(self.iam.get_policy, PolicyArn=arn) is not None:
                self._do(f"delete policy {self.control}", lambda: self._delete_policy(arn))
            listed = self.s3.list_objects_v2(Bucket=self.settings.bucket, Prefix=f"{CODE}/").get("Contents", [])
            for item in listed:
                key = item["Key"]
                self._do(
                    f"delete s3://{self.settings.bucket}/{key}",
                    lambda key=key: self.s3.delete_object(Bucket=self.settings.bucket, Key=key),  # type: ignore[misc]
                )
        except (ClientError, BotoCoreError) as error:
            raise TagPlatformError(f"{self.settings.env}: {error}") from error
        return self.changes

    def _require(self) -> None:
        bucket, secret = self.settings.bucket, self.settings.database_secret
        if self._missing_is_none(self.s3.head_bucket, Bucket=bucket) is None:
            raise TagPlatformError(f"The bucket {bucket} does not exist; create it first.")
        if self._missing_is_none(self.secrets.describe_secret, SecretId=secret) is None:
            raise TagPlatformError(
                f"The secret {secret} does not exist. Create it in Secrets Manager, as JSON with username and password,"
                " or name another one by TAG_PLATFORM_DATABASE_SECRET."
            )

    def _object(self, item: CodeObject) -> None:
        bucket = self.settings.bucket
        if self._missing_is_none(self.s3.head_object, Bucket=bucket, Key=item.key) is None:
            self._do(
                f"upload s3://{bucket}/{item.key} ({len(item.content):,} bytes)",
                lambda: self.s3.put_object(Bucket=bucket, Key=item.key, Body=item.content),
            )

    def _role(self, policy: dict[str, Any]) -> None:
        if self._missing_is_none(self.iam.get_role, RoleName=self.role) is None:
            document = json.dumps(ASSUME_ROLE)
            self._do(
                f"create role {self.role}",
                lambda: self.iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=document),
            )
        found = self._missing_is_none(self.iam.get_role_policy, RoleName=self.role, PolicyName=INLINE_POLICY)
        if found is None or found["PolicyDocument"] != policy:
            names = {"RoleName": self.role, "PolicyName": INLINE_POLICY}
            self._do(
                f"{'create' if found is None else 'update'} policy of role {self.role}",
                lambda: self.iam.put_role_policy(**names, PolicyDocument=json.dumps(policy)),
            )

    def _control_policy(self, account: str, policy: dict[str, Any]) -> None:
        arn, document = f"arn:aws:iam::{account}:policy/{self.control}", json.dumps(policy)
        found = self._missing_is_none(self.iam.get_policy, PolicyArn=arn)
        if found is None:
            self._do(
                f"create policy {self.control}, for whoever runs Dagster",
                lambda: self.iam.create_policy(PolicyName=self.control, PolicyDocument=document),
            )
            return
        version = found["Policy"]["DefaultVersionId"]
        current = self.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        if current != policy:
            self._do(f"update policy {self.control}", lambda: self._replace_policy(arn, version, document))

    def _replace_policy(self, arn: str, version: str, document: str) -> None:
        self.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
        self.iam.delete_policy_version(PolicyArn=arn, VersionId=version)

    def _job(self, wanted: dict[str, Any]) -> None:
        name, current = self.settings.glue_job, self._current_job()
        if current is None:
            self._do(f"create Glue job {name}", lambda: self.glue.create_job(Name=name, **wanted))
            return
        differing = sorted(key for key in wanted if current.get(key) != wanted[key])
        if "Connections" not in wanted and (current.get("Connections") or {}).get("Connections"):
            differing.append("Connections")
        if differing:
            self._do(
                f"update Glue job {name}: {', '.join(differing)}",
                lambda: self.glue.update_job(JobName=name, JobUpdate=wanted),
            )

    def _current_job(self) -> dict[str, Any] | None:
        found = self._missing_is_none(self.glue.get_job, JobName=self.settings.glue_job)
        return None if found is None else dict(found["Job"])

    def _delete_job(self) -> None:
        self.glue.delete_job(JobName=self.settings.glue_job)

    def _delete_role(self) -> None:
        for name in self.iam.list_role_policies(RoleName=self.role)["PolicyNames"]:
            self.iam.delete_role_policy(RoleName=self.role, PolicyName=name)
        self.iam.delete_role(RoleName=self.role)

    def _delete_policy(self, arn: str) -> None:
        for version in self.iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                self.iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        self.iam.delete_policy(PolicyArn=arn)

    def _do(self, what: str, act: Callable[[], object]) -> None:
        self.changes += 1
        self.say(f"would {what}" if self.dry_run else what)
        if not self.dry_run:
            act()

    @staticmethod
    def _missing_is_none(read: Callable[..., Any], **names: str) -> Any:
        """What a reading call says; None where the thing does not exist. Any other refusal is raised."""
        missing = ("404", "NoSuchKey", "NoSuchBucket", "NoSuchEntity")
        try:
            return read(**names)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in (*missing, "EntityNotFoundException", "ResourceNotFoundException"):
                return None
            raise
