"""Where the local deployment keeps its state below `TAG_PLATFORM_HOME`. Nothing of it can be read by other users."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tag_platform.errors import TagPlatformError
from tag_platform.settings import Settings

LONGEST_SOCKET_PATH = 100  # Linux takes 107 bytes, macOS 103


@dataclass(frozen=True)
class Folders:
    """The folders of one deployment; `create` makes those that are missing."""

    home: Path

    @classmethod
    def of(cls, settings: Settings) -> Folders:
        return cls(settings.home)

    @property
    def database(self) -> Path:
        return self.home / "mysql"

    @property
    def object_store(self) -> Path:
        return self.home / "s3"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Process files and launch orders; gone with the last process, made anew by the next start."""
        return self.home / "run"

    @property
    def sockets(self) -> Path:
        """Folder of unix sockets: `run`, or a short folder of the user's own where that path is too long for them."""
        if len(str(self.run / "supervisor.sock")) <= LONGEST_SOCKET_PATH:
            return self.run
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tag_platform-{os.getuid()}-{digest}"

    def create(self) -> None:
        """Makes the folders, private to this user. Raises `TagPlatformError` where that is not possible."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            for folder in (self.database, self.object_store, self.logs, self.run, self.sockets):
                folder.mkdir(mode=0o700, exist_ok=True)
                if folder.stat().st_uid != os.getuid():
                    raise TagPlatformError(
                        f"{folder} belongs to another user; use the same user as before, or set TAG_PLATFORM_HOME."
                    )
                folder.chmod(0o700)
        except OSError as error:
            raise TagPlatformError(
                f"The folder of local state {self.home} cannot be used ({error.strerror}); set TAG_PLATFORM_HOME."
            ) from error


def write_private(path: Path, text: str) -> None:
    """Writes a file that only this user can read, complete or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)
