"""What runs inside an AWS Glue job: Spark 3.5 and Python 3.11, without Dagster."""
