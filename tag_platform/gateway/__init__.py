"""The REST gateway: a stateless face of Dagster's GraphQL for back ends that need not know what Dagster is.

`app` puts it together; `dagster_client` speaks GraphQL, `tasks` translates runs into tasks, `idempotency` keeps the one
promise that GraphQL does not make (the same key never starts two runs), `security` says who may do what.
"""
