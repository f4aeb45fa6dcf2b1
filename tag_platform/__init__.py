"""User tagging as Dagster assets.

`definitions` is the code location (`dagster job execute -m tag_platform -j tag_all`). It is made on first use, so that
`import tag_platform.rules` or a Spark worker's import of `tag_platform.compute` does not load Dagster.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "definitions":
        from tag_platform.defs.definitions import definitions

        return definitions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # Dagster finds a code location's definitions by listing the module, so the lazy name has to be listed.
    return [*globals(), "definitions"]
