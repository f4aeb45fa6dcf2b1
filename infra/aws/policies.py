"""What the Glue job and the control plane may do, and nothing else: IAM policies as data."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tag_platform.settings import Settings

ASSUME_ROLE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CODE, RUNS = "tag_platform/code", "tag_platform/runs"


def job_policy(settings: Settings, account: str, region: str) -> dict[str, Any]:
    """The job reads the warehouse and its code, writes the lake and the folder of runs, reads one secret, and logs."""
    lake, runs = _place(settings.lake), f"{settings.bucket}/{RUNS}"
    reads = [_place(settings.warehouse), lake, runs, f"{settings.bucket}/{CODE}"]
    statements = [
        _allow("s3:GetObject", *_objects(*reads)),
        _allow(("s3:PutObject", "s3:AbortMultipartUpload"), *_objects(lake, runs)),
        _allow("s3:DeleteObject", *_objects(lake, f"{runs}/temporary")),  # Spark moves a written file into its place
        *_listing(reads),
        _allow(
            "secretsmanager:GetSecretValue",
            f"arn:aws:secretsmanager:{region}:{account}:secret:{settings.database_secret}-??????",  # AWS adds six
        ),
        _allow(
            ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
            f"arn:aws:logs:{region}:{account}:log-group:/aws-glue/*",
        ),
        _allow(  # tables of the Glue Data Catalog, named in the source catalog as `catalog: db.table`
            ("glue:GetDatabase", "glue:GetTable", "glue:GetPartition", "glue:GetPartitions"),
            *(f"arn:aws:glue:{region}:{account}:{kind}" for kind in ("catalog", "database/*", "table/*")),
        ),
    ]
    if settings.glue_connection:  # into the network of the database
        connection = f"arn:aws:glue:{region}:{account}:connection/{settings.glue_connection}"
        network = ("DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcEndpoints", "DescribeRouteTables")
        interfaces = ("CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces", "CreateTags")
        statements.append(_allow("glue:GetConnection", connection, f"arn:aws:glue:{region}:{account}:catalog"))
        statements.append(_allow(tuple(f"ec2:{name}" for name in (*network, *interfaces)), "*"))
    return _policy(statements)


def control_policy(settings: Settings, account: str, region: str) -> dict[str, Any]:
    """For whoever runs Dagster: start, watch and stop this one job; exchange plans, reports and messages; look at files
    of warehouse and lake."""
    runs, places = f"{settings.bucket}/{RUNS}", [_place(settings.warehouse), _place(settings.lake)]
    job = f"arn:aws:glue:{region}:{account}:job/{settings.glue_job}"
    return _policy(
        [
            _allow(("glue:StartJobRun", "glue:GetJobRun", "glue:BatchStopJobRun"), job),
            _allow(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), *_objects(runs)),
            _allow("s3:GetObject", *_objects(*places)),
            *_listing([runs, *places]),
        ]
    )


def _policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """Without what would be allowed on nothing: a lake that is not in S3 needs no right."""
    return {"Version": "2012-10-17", "Statement": [s for s in statements if s["Resource"]]}


def _allow(action: str | tuple[str, ...], *resources: str) -> dict[str, Any]:
    actions = [action] if isinstance(action, str) else list(action)
    return {"Effect": "Allow", "Action": actions, "Resource": sorted(set(resources))}


def _place(uri: str) -> str:
    """bucket/prefix of an `s3://` location; of any other nothing is needed."""
    parts = urlsplit(uri)
    return f"{parts.netloc}{parts.path}" if parts.scheme == "s3" else ""


def _objects(*places: str) -> list[str]:
    return [f"arn:aws:s3:::{place}/*" for place in places if place]


def _listing(places: list[str]) -> list[dict[str, Any]]:
    by_bucket: dict[str, list[str]] = {}
    for place in sorted(set(filter(None, places))):
        bucket, _, prefix = place.partition("/")
        by_bucket.setdefault(bucket, []).extend([prefix, f"{prefix}/*"])
    return [
        {**_allow("s3:ListBucket", f"arn:aws:s3:::{bucket}"), "Condition": {"StringLike": {"s3:prefix": prefixes}}}
        for bucket, prefixes in by_bucket.items()
    ]
