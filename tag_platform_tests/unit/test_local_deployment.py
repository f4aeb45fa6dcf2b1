"""What the process runner is told, and that nobody else's process is ever taken for ours."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.local import object_store
from infra.local.folders import LONGEST_SOCKET_PATH, Folders
from infra.local.ports import ServicePort, free_block, require_free
from infra.local.processes import end, noted_process
from infra.local.program import Program
from infra.local.services import programs, require_installed
from infra.local.supervision import Supervisor
from tag_platform.errors import BadInput
from tag_platform.settings import load_settings


def _note(path: Path, process: psutil.Process, shift: float = 0) -> Path:
    path.write_text(json.dumps({"pid": process.pid, "started": process.create_time() + shift}))
    return path


def test_only_the_process_that_was_noted_is_ours(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process = psutil.Process(child.pid)
    assert noted_process(_note(tmp_path / "reused.pid", process, shift=-100)) is None
    ours = noted_process(_note(tmp_path / "ours.pid", process))
    assert ours is not None
    end(ours, patience=5)
    child.wait(timeout=5)
    assert not psutil.pid_exists(process.pid)
    assert noted_process(tmp_path / "ours.pid") is None


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}', "\x00"])
def test_a_damaged_note_names_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "note.pid").write_text(content)
    assert noted_process(tmp_path / "note.pid") is None


def test_a_taken_port_is_named_with_its_purpose_its_holder_and_its_variable() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_block(1)))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(BadInput) as refused:
            require_free(ServicePort(port, "MYSQL_PORT", "the database"))
    message = str(refused.value)
    assert all(part in message for part in (str(port), "the database", "MYSQL_PORT", f"process {os.getpid()}"))


def test_odd_values_reach_the_program_unharmed(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "100% of my 'home'")
    folders.create()
    odd = {"MYSQL_PASSWORD": "a\"b'c%d,e;f g\n"}
    program = Program("echo", (sys.executable, "-c", "import os; print(repr(os.environ['MYSQL_PASSWORD']))"), (), odd)
    supervisor = Supervisor(folders)
    supervisor.write_configuration([program], [program], everything=True)
    configuration = configparser.RawConfigParser()
    configuration.read(supervisor.configuration)
    command = shlex.split(configuration["program:echo"]["command"].replace("%%", "%"))
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == repr(odd["MYSQL_PASSWORD"])
    assert odd["MYSQL_PASSWORD"] not in supervisor.configuration.read_text()
    for path in (supervisor.configuration, supervisor.order_file("echo")):
        assert path.stat().st_mode & 0o077 == 0, f"{path} can be read by others"


def test_a_program_that_is_started_alone_leaves_the_others_configured(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    one, two = Program("one", ("true",)), Program("two", ("true",))
    supervisor = Supervisor(folders)
    supervisor.write_configuration([one, two], [one, two], everything=True)
    supervisor.write_configuration([one], [one, two], everything=False)
    assert "[program:two]" in supervisor.configuration.read_text()
    supervisor.write_configuration([one], [one, two], everything=True)
    assert "[program:two]" not in supervisor.configuration.read_text()


def test_sockets_of_a_deep_home_go_where_their_path_is_short_enough(tmp_path: Path) -> None:
    folders = Folders(tmp_path / ("deep" * 30))
    assert len(str(folders.sockets / "supervisor.sock")) <= LONGEST_SOCKET_PATH


def test_every_port_can_be_moved_and_no_two_programs_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_block(object_store.PORTS + 4)
    names = ("MYSQL_PORT", "TAG_PLATFORM_UI_PORT", "TAG_PLATFORM_CODE_SERVER_PORT", "API_PORT", "TAG_PLATFORM_S3_PORT")
    for n, name in enumerate(names):
        monkeypatch.setenv(name, str(first + n))
    moved = [port.number for program in programs(load_settings()) for port in program.ports]
    assert len(set(moved)) == len(moved)
    assert all(port >= first for port in moved)


def test_servers_of_the_users_own_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_HOST", "db.example.com")
    monkeypatch.setenv("S3_ENDPOINT", "http://s3.example.com")
    names = [program.name for program in programs(load_settings())]
    assert names == ["code-server", "webserver", "daemon", "gateway"]


def test_additions_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`up --with` names what to install before anything is started."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BadInput, match=r"pip install 'tag-platform\[notebook\]'"):
        require_installed(["notebook"])
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BadInput, match="needs a Java runtime, 17 or newer"):
        require_installed(["spark"])
    require_installed([])
