"""One deployment for all end-to-end tests of the gateway: starting its processes takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tag_platform_tests.e2e.gateway_deployment import Deployment, deployment


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def api(deployed: Deployment) -> Iterator[httpx.Client]:
    """A client of a gateway without tokens, started for the test."""
    with deployed.gateway(), httpx.Client(base_url=deployed.api, timeout=60) as client:
        yield client
