"""AWS: what a Glue environment needs, deployed and taken away by `python -m infra.aws`."""
