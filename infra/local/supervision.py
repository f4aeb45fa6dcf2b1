"""The process runner: one supervisord per deployment, driven over its unix socket.

Its configuration is made from the launch orders in `run/`, so a start of two programs leaves the others as they are.
No program starts by itself with supervisord: `infra.local.deployment` starts them in order. From then on supervisord
starts again what ends unasked.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from infra.local.folders import Folders, write_private
from infra.local.processes import end
from infra.local.program import Program
from tag_platform.errors import TagPlatformError
from tag_platform.settings import CHECKOUT, Settings

LOG_BYTES, LOG_BACKUPS = "10MB", 3


class Supervisor:
    """The supervisord of one deployment. Callers hold the deployment's lock."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.socket = folders.sockets / "supervisor.sock"
        self.configuration = folders.run / "supervisord.conf"
        self.pid_file = folders.run / "supervisord.pid"

    def pid(self) -> int | None:
        """Process id where it runs and answers, else None."""
        try:
            return int(self._call("supervisor.getPID"))
        except (OSError, xmlrpc.client.Error):
            return None

    def start(self) -> None:
        """Starts supervisord with the configuration written last. Raises `TagPlatformError` where it stays silent."""
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        done = subprocess.run(  # noqa: S603
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        deadline = time.monotonic() + 20
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.pid():
                return
            time.sleep(0.05)
        raise TagPlatformError(f"The process runner did not start: {(done.stderr or done.stdout).strip()[-500:]}")

    def shut_down(self) -> None:
        """Ends supervisord and what still runs under it; also one that runs but no longer answers."""
        process = self._process()
        if process is None:
            return
        try:
            self._call("supervisor.shutdown")
            process.wait(timeout=90)
        except (OSError, xmlrpc.client.Error, psutil.TimeoutExpired):
            end(process, patience=90)

    def end_unanswering(self) -> None:
        """Ends a supervisord of ours whose socket is gone: it would start its programs again behind our back."""
        if self.pid() is None and (process := self._process()):
            end(process, patience=90)

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int(self.pid_file.read_text()))
            ours = str(self.configuration) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
            return process if ours else None
        except (OSError, ValueError, psutil.Error):
            return None

    def states(self) -> dict[str, dict[str, Any]]:
        """What supervisord knows of each program by name (`statename`, `pid`, `start`, `now`); {} where it is down."""
        try:
            return {info["name"]: info for info in self._call("supervisor.getAllProcessInfo")}
        except OSError:
            return {}

    def start_program(self, name: str) -> None:
        self._unless(Faults.ALREADY_STARTED, "supervisor.startProcess", name, False)

    def stop_program(self, name: str) -> None:
        """Stops a program and waits until it has ended."""
        try:
            self._unless(Faults.NOT_RUNNING, "supervisor.stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.BAD_NAME:
                raise

    def apply_configuration(self) -> list[str]:
        """Takes over the configuration written last. Programs that changed are stopped; returns their names."""
        added, changed, removed = self._call("supervisor.reloadConfig")[0]
        for name in changed + removed:
            self.stop_program(name)
            self._call("supervisor.removeProcessGroup", name)
        for name in added + changed:
            self._unless(Faults.ALREADY_ADDED, "supervisor.addProcessGroup", name)
        return list(changed)

    def _unless(self, accepted: int, method: str, *arguments: object) -> None:
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != accepted:
                raise

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy, method)(*arguments)

    def order_file(self, name: str) -> Path:
        return self.folders.run / f"{name}.json"

    def write_configuration(self, wanted: list[Program], all_known: list[Program], everything: bool) -> None:
        """Writes launch orders of the `wanted` programs and the configuration of all that have one. With `everything`,
        programs that are no longer wanted lose theirs."""
        names = {program.name for program in wanted}
        for program in wanted:
            order = program.launch_order(Settings.variables()) | {"digest": program.digest()}
            write_private(self.order_file(program.name), json.dumps(order, indent=1))
        if everything:
            for path in self.folders.run.glob("*.json"):
                if path.stem not in names:
                    path.unlink()
        known = [program for program in all_known if self.order_file(program.name).exists()]
        sections = [self._own_section(), *(self._program_section(program) for program in known)]
        write_private(self.configuration, "\n\n".join(sections) + "\n")

    def _own_section(self) -> str:
        user = "user = root\n" if os.getuid() == 0 else ""
        return (
            f"[unix_http_server]\nfile = {_escaped(self.socket)}\nchmod = 0700\n\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n"
            f"[supervisord]\n{user}nodaemon = false\numask = 077\nminfds = 4096\n"
            f"pidfile = {_escaped(self.pid_file)}\ndirectory = {_escaped(CHECKOUT)}\n"
            f"logfile = {_escaped(self.folders.logs / 'supervisord.log')}\n"
            f"logfile_maxbytes = {LOG_BYTES}\nlogfile_backups = {LOG_BACKUPS}"
        )

    def _program_section(self, program: Program) -> str:
        order = self.order_file(program.name)
        digest = json.loads(order.read_text())["digest"]
        command = [sys.executable, "-m", "infra.local.launch", str(order)]
        return (
            f"[program:{program.name}]\n"
            f"command = {_escaped(shlex.join(command))}\n"
            f'environment = TAG_PLATFORM_LAUNCH="{digest}"\n'
            f"autostart = false\nautorestart = true\nstartretries = 2\nstartsecs = {program.steady_seconds}\n"
            f"stopwaitsecs = {program.stop_seconds}\nkillasgroup = true\npriority = {program.stage}\n"
            f"redirect_stderr = true\nstdout_logfile = {_escaped(log_file(self.folders, program.name))}\n"
            f"stdout_logfile_maxbytes = {LOG_BYTES}\nstdout_logfile_backups = {LOG_BACKUPS}"
        )


def log_file(folders: Folders, name: str) -> Path:
    """Where a program's output goes."""
    return folders.logs / f"{name}.log"


def _escaped(value: object) -> str:
    """supervisord expands `%(…)s`."""
    return str(value).replace("%", "%%")
