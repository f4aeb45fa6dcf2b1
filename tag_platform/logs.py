"""Logging for people (one line a stage) or for machines (JSON lines). Personal data stays below INFO."""

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

LogFormat = Literal["text", "json"]


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str = "INFO", log_format: LogFormat = "text", file: Path | None = None) -> None:
    """Sends the platform's log lines to stderr (or to `file`). Other libraries are heard from WARNING on."""
    handler: logging.Handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(_JsonLines() if log_format == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tag_platform").setLevel(level.upper())
