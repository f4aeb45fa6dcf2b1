"""`python -m tag_platform_tests.fuzz_rules --seconds 120 --seed 1`: hostile input for the parser, and generated rules
over generated users for all evaluators, for as long as one likes.

Prints every disagreement and every crash with the seed that shows it again, and exits with 1 if there was any.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import click
import duckdb

from tag_platform.mysql import Database, connect
from tag_platform.rules.explain import explain
from tag_platform.rules.lint import lint_rules
from tag_platform_tests.hostile_rules import check_answer, hostile
from tag_platform_tests.lint_oracle import false_alarms
from tag_platform_tests.rule_engines import Batch, Truths, by_duckdb, by_mysql, by_oracle, by_spark, storable
from tag_platform_tests.rule_engines import disagreements as different
from tag_platform_tests.rule_strategies import AS_OF, batches, generated

RULES, USERS = 30, 12
Ask = Callable[[Batch], Truths]


@click.command()
@click.option("--seconds", type=float, default=120, show_default=True, help="For how long.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed; each round takes the next one.")
@click.option("--engines", default="sail,duckdb", show_default=True, help="Of sail, duckdb, mysql (as configured).")
def main(seconds: float, seed: int, engines: str) -> None:
    """Fuzzes the rule language."""
    with ExitStack() as stack:
        asked = {name: _engine(name, stack) for name in engines.split(",") if name}
        found = rounds(seconds, seed, asked)
    raise SystemExit(1 if found else 0)


def rounds(seconds: float, seed: int, engines: dict[str, Ask]) -> list[str]:
    """Rounds until the time is over, one at least; returns what was found."""
    started, found, counts = time.monotonic(), [], dict.fromkeys(["inputs", "rules", "decisions"], 0)
    for number in itertools.count(seed):
        for problem in one_round(number, engines, counts):
            found.append(problem)
            click.echo(f"seed {number}: {problem}")
        if time.monotonic() - started > seconds:
            break
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    click.echo(f"seeds {seed} to {number}, {time.monotonic() - started:.0f} s: {told}; {len(found)} problems")
    return found


def one_round(seed: int, engines: dict[str, Ask], counts: dict[str, int]) -> Iterator[str]:
    for source in generated(hostile(), 150, seed):
        counts["inputs"] += 1
        yield from _crashes(f"input {source!r:.2000}", lambda source=source: check_answer(source))  # type: ignore[misc]
    for batch in generated(batches(RULES, USERS), 3, seed):
        counts["rules"] += len(batch.rules)
        counts["decisions"] += len(batch.rules) * len(batch.dataset.users) * len(engines)
        yield from _crashes("the oracle", lambda batch=batch: by_oracle(batch))  # type: ignore[misc]
        yield from _crashes("explain", lambda batch=batch: _explain(batch))  # type: ignore[misc]
        yield from false_alarms(batch)
        yield from _crashes("lint", lambda batch=batch: lint_rules(dict(enumerate(batch.parsed))))  # type: ignore[misc]
        for name, ask in engines.items():
            fitting = storable(batch) if name == "mysql" else batch
            answers: list[Truths] = []
            yield from _crashes(name, lambda: answers.append(ask(fitting)))  # noqa: B023
            for truths in answers:
                yield from (f"{name}: {text}" for text in different(fitting, truths))


def _explain(batch: Batch) -> None:
    for rule in batch.parsed:
        for _, user in batch.dataset.users[:2]:
            explain(rule, user, AS_OF, batch.timezone).to_json()


def _crashes(what: str, act: Callable[[], Any]) -> Iterator[str]:
    try:
        act()
    except Exception as error:  # noqa: BLE001 (that is what is looked for)
        yield f"{what}: {type(error).__name__}: {str(error)[:2000]}"


def _engine(name: str, stack: ExitStack) -> Ask:
    if name == "sail":
        from tag_platform.cli.rules_engines import engine_session

        spark = stack.enter_context(engine_session("sail", "UTC"))
        return lambda batch: by_spark(spark, batch)
    if name == "duckdb":
        duck = stack.enter_context(duckdb.connect())
        return lambda batch: by_duckdb(duck, batch)
    if name == "mysql":
        from tag_platform.settings import load_settings

        mysql = stack.enter_context(connect(Database.of(load_settings())))
        return lambda batch: by_mysql(mysql, batch)
    raise click.BadParameter(f"{name} is none of sail, duckdb, mysql", param_hint="--engines")


if __name__ == "__main__":
    main()
