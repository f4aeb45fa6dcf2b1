"""JupyterLab beside the local deployment: `tag-platform up --with notebook`. On loopback and behind a token.

It opens a folder of the person's own below TAG_PLATFORM_HOME, into which the example is put once and then left alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from infra.local.folders import Folders
from infra.local.ports import LOOPBACK, ServicePort, answers
from infra.local.program import Program
from tag_platform.errors import BadInput
from tag_platform.settings import Settings

EXAMPLE = Path(__file__).parent / "tags.ipynb"


def program(settings: Settings) -> Program:
    """JupyterLab as the process runner starts it."""
    folder, port = Folders.of(settings).home / "notebooks", settings.notebook_port
    given = {name: value for name, value in os.environ.items() if name in Settings.variables()}
    options = {
        "ServerApp.ip": LOOPBACK,
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,  # another port would be found by nobody
        "ServerApp.open_browser": False,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": os.getuid() == 0,
        "LabApp.news_url": "None",  # asks no server of anybody else's
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    return Program(
        name="notebook",
        argv=(sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())),
        ports=(ServicePort(port, "TAG_PLATFORM_NOTEBOOK_PORT", "JupyterLab"),),
        # By the environment, since everybody on this machine sees command lines.
        environment={**given, "JUPYTER_TOKEN": settings.notebook_token.get_secret_value()},
        address=f"http://{LOOPBACK}:{port}/lab/tree/{EXAMPLE.name}",
        stage=3,
        prepare=lambda: _prepare(folder),
        ready=lambda: None if answers(port) else "JupyterLab does not answer yet",
    )


def require_jupyterlab() -> None:
    """Raises `BadInput` where JupyterLab is not installed."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise BadInput(f"JupyterLab is not installed: {sys.executable} -m pip install 'tag-platform[notebook]'.")


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / EXAMPLE.name).exists():
        shutil.copyfile(EXAMPLE, folder / EXAMPLE.name)
