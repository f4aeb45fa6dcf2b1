"""A fake of AWS, for tests alone: moto's server for S3, IAM, STS, Secrets Manager and Glue's jobs, and beside it what
moto does not do: a job run is a real process, which runs the job's own script from S3 with PySpark 3.5.

What only AWS can show is not here: rights, networks, the time a cluster takes to start, Glue's own pip.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
import uuid
import zipfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tag_platform.settings import CHECKOUT

PYTHON35 = CHECKOUT / ".venv-spark35" / "bin" / "python"
OURS = ("StartJobRun", "GetJobRun", "BatchStopJobRun", "UpdateJob")


@dataclass
class JobRun:
    name: str
    run_id: str
    arguments: dict[str, str]
    state: str = "RUNNING"
    message: str = ""
    started: float = field(default_factory=time.time)
    ended: float | None = None
    process: subprocess.Popen[bytes] | None = None
    output: str = ""

    def as_json(self) -> dict[str, Any]:
        seconds = int((self.ended or time.time()) - self.started)
        return {
            **{"Id": self.run_id, "JobName": self.name, "JobRunState": self.state, "StartedOn": self.started},
            **{"ErrorMessage": self.message, "ExecutionTime": seconds, "DPUSeconds": seconds * 4.0},
        }


class FakeGlue:
    """The server. `faults` are taken one by one, by the next starts of a job run:

    `throttle`, `busy`: the start is refused. `die`: the process is killed when it has begun. `hang`: the process stops
    there. `EXPIRED`, `TIMEOUT`, `ERROR`, `STOPPED`: the run ends as that, without having begun. `cut`: the Pipes
    messages are cut off.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: deque[str] = deque()
        self.runs: dict[str, JobRun] = {}
        self.requests: list[str] = []
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")).close()  # noqa: S310

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        for run in self.runs.values():
            self._end(run, "STOPPED")
        self._server.shutdown()

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        service, _, action = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        cut = environ["REQUEST_METHOD"] == "PUT" and "/pipes/" in environ["PATH_INFO"]
        if cut and environ["PATH_INFO"].endswith(".json") and self._is_cut():
            request = Request(environ)
            body = request.get_data()
            environ["wsgi.input"] = io.BytesIO(body[: len(body) // 2])
            environ["CONTENT_LENGTH"] = str(len(body) // 2)
            for name in [name for name in environ if name.startswith("HTTP_X_AMZ_") and "CHECKSUM" in name]:
                del environ[name]
        if service != "AWSGlue" or action not in OURS:
            passed_on: Iterable[bytes] = self._moto(environ, start_response)
            return passed_on
        self.requests.append(action)
        request = Request(environ)
        body = json.loads(request.get_data())
        try:
            answer = getattr(self, f"_{action}")(body)
        except _Refused as refusal:
            error = {"__type": refusal.code, "message": refusal.code}
            return Response(json.dumps(error), 400, content_type="application/x-amz-json-1.1")(environ, start_response)
        return Response(json.dumps(answer), content_type="application/x-amz-json-1.1")(environ, start_response)

    def _is_cut(self) -> bool:
        return any(run.arguments.get("fault") == "cut" and run.ended is None for run in self.runs.values())

    def _StartJobRun(self, body: dict[str, Any]) -> dict[str, Any]:
        fault = self.faults.popleft() if self.faults else ""
        if fault in ("throttle", "busy"):
            raise _Refused("ThrottlingException" if fault == "throttle" else "ConcurrentRunsExceededException")
        glue = boto3.client("glue", endpoint_url=self.url)
        job = glue.get_job(JobName=body["JobName"])["Job"]
        run = JobRun(job["Name"], f"jr_{uuid.uuid4().hex}", {**job["DefaultArguments"], **body.get("Arguments", {})})
        run.arguments["fault"] = fault
        self.runs[run.run_id] = run
        if fault.isupper():
            run.state, run.ended = fault, time.time()
        else:
            threading.Thread(target=self._run, args=(run, job, fault), daemon=True).start()
        return {"JobRunId": run.run_id}

    def _GetJobRun(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"JobRun": self.runs[body["RunId"]].as_json()}

    def _BatchStopJobRun(self, body: dict[str, Any]) -> dict[str, Any]:
        for run_id in body["JobRunIds"]:
            self._end(self.runs[run_id], "STOPPED")
        return {"SuccessfulSubmissions": [{"JobName": body["JobName"], "JobRunId": i} for i in body["JobRunIds"]]}

    def _UpdateJob(self, body: dict[str, Any]) -> dict[str, Any]:
        glue = boto3.client("glue", endpoint_url=self.url)
        glue.delete_job(JobName=body["JobName"])
        glue.create_job(Name=body["JobName"], **body["JobUpdate"])
        return {"JobName": body["JobName"]}

    def _run(self, run: JobRun, job: dict[str, Any], fault: str) -> None:
        """What Glue does: fetch the script and the wheel, start Python, report the end."""
        place = self.folder / run.run_id
        place.mkdir(parents=True)
        script = place / "script.py"
        script.write_bytes(self._fetch(job["Command"]["ScriptLocation"]))
        wheel = run.arguments["--additional-python-modules"].split(",")[0]
        with zipfile.ZipFile(io.BytesIO(self._fetch(wheel))) as archive:
            archive.extractall(place / "modules")
        imported = [str(place / "modules")]
        for name in ("--extra-files", "--extra-py-files"):
            for uri in filter(None, run.arguments.get(name, "").split(",")):
                file = place / uri.rsplit("/", 1)[-1]
                file.write_bytes(self._fetch(uri))
                imported += [str(file)] if name == "--extra-py-files" else []
        if fault in ("die", "hang"):  # as soon as the job's own code begins to work
            ending = "os.kill(os.getpid(), 9)" if fault == "die" else "time.sleep(600)"
            script.write_text(f"import os, time\n{ending}\n" + script.read_text())
        arguments = {name: value for name, value in run.arguments.items() if name.startswith("--")}
        argv = [part for name, value in {**arguments, "--JOB_RUN_ID": run.run_id}.items() for part in (name, value)]
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("SPARK_", "PYSPARK_", "MYSQL_", "TAG_"))}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join(imported),
            "PYSPARK_PYTHON": str(PYTHON35),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
        }
        with (place / "log").open("w+b") as log:
            run.process = subprocess.Popen(
                [str(PYTHON35), str(script), *argv],
                env=environment,
                cwd=place,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            code = run.process.wait()
            log.seek(0)
            run.output = log.read().decode(errors="replace")
        if run.ended is None:
            run.message = "" if code == 0 else f"Exit code {code}: {run.output[-300:]}"
            run.ended = time.time()
            run.state = "SUCCEEDED" if code == 0 else "FAILED"

    def _fetch(self, uri: str) -> bytes:
        parts = urlsplit(uri)
        s3 = boto3.client("s3", endpoint_url=self.url)
        body: bytes = s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"].read()
        return body

    def _end(self, run: JobRun, state: str) -> None:
        if run.ended is None:
            run.state, run.ended = state, time.time()
            if run.process is not None and run.process.poll() is None:
                os.killpg(run.process.pid, signal.SIGKILL)
                run.process.wait(10)


class _Refused(Exception):
    def __init__(self, code: str) -> None:
        self.code = code
