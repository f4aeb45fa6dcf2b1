"""A real MySQL 9 for tests on Debian, whose stable release has only MariaDB: the server of the suite `unstable`, with
every library that it needs, unpacked into a folder of the user's cache. Nothing is installed into the system, and no
rights are needed.

Packages come from the mirror that this machine's apt uses, are checked by apt against Debian's keys, and are fetched
once (about 45 MB).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from infra.local.database import ServerBinary
from tag_platform.errors import TagPlatformError

PACKAGE = "mysql-server-core"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PATIENCE = 240  # seconds for each step that uses the network


class NoMySQL9(TagPlatformError):
    """It cannot be set up on this machine; the message says why."""


def mysql9(folder: Path | None = None) -> ServerBinary:
    """The server, fetched and unpacked below `folder` where it is not there yet. Raises `NoMySQL9`."""
    root = folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tag_platform" / "mysql9"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
            if not (root / "server").exists():
                _fetch(root)
        return _binary(root / "server")
    except (OSError, subprocess.SubprocessError) as error:
        raise NoMySQL9(f"MySQL 9 cannot be set up: {error}") from error


def _fetch(root: Path) -> None:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NoMySQL9(f"MySQL 9 is set up from Debian packages, and this system has no {program}.")
    apt, new = root / "apt", root / "server.new"
    for gone in (apt, new):
        shutil.rmtree(gone, ignore_errors=True)
    for folder in (apt / "state" / "lists" / "partial", apt / "cache" / "archives" / "partial", new):
        folder.mkdir(parents=True)
    (apt / "status").touch()  # nothing is installed: every library is taken along
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (apt / "sources.list").write_text(f"deb {signed}{_mirror()} unstable main\n")
    _run("apt-get", *_options(apt), "-qq", "update")
    install = ("-y", "-qq", "--no-install-recommends", "--download-only", "install", PACKAGE)
    _run("apt-get", *_options(apt), *install)
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        _run("dpkg-deb", "-x", str(package), str(new))
    shutil.rmtree(apt)
    _version(_binary(new))  # it starts here
    new.rename(root / "server")


def _options(apt: Path) -> list[str]:
    """apt as this machine has configured it (proxies, mirrors' accounts), with state, cache and sources of our own."""
    values = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "APT::Update::Post-Invoke": "",
        "DPkg::Post-Invoke": "",
    }
    return [part for name, value in values.items() for part in ("-o", f"{name}={value}")]


def _mirror() -> str:
    """The Debian mirror that this machine uses; never a mirror of security updates alone."""
    listed = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    for line in sorted(set(listed.splitlines())):
        address, _, release = line.partition(" ")
        if re.search(r"/debian/?$", address) and "security" not in release and "/" not in release:
            return address
    raise NoMySQL9("MySQL 9 is set up from Debian packages, and this machine's apt has no Debian mirror.")


def _binary(server: Path) -> ServerBinary:
    """The server's own loader and libraries are used: those of the system may be older."""
    loaders = sorted(server.glob("usr/lib*/**/ld-linux*.so*"))
    if not loaders:
        raise NoMySQL9(f"MySQL 9 in {server} is not complete; remove the folder to have it fetched again.")
    libraries = [path.parent for path in sorted(server.glob("usr/lib/*/libc.so.6"))]
    share = server / "usr" / "share" / "mysql"
    return ServerBinary(
        argv=(
            str(loaders[0]),
            "--library-path",
            ":".join(map(str, libraries)),
            str(server / "usr" / "sbin" / "mysqld"),
        ),
        is_mariadb=False,
        options=(f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"),
    )


def _version(binary: ServerBinary) -> str:
    return _run(*binary.argv, "--no-defaults", "--version").strip()


def _run(*argv: str) -> str:
    done = subprocess.run(  # noqa: S603
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        raise NoMySQL9(f"MySQL 9 cannot be set up: {argv[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
