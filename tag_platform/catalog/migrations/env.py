"""Alembic's entry: runs the migrations on the connection that `tag_platform.catalog.migrate` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="tag_platform_version")
with context.begin_transaction():
    context.run_migrations()
