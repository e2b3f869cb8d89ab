"""Units as tasks of a Ray cluster.

A task starts the unit's process on its node and waits for it. Only the description of the unit and
its report go through Ray: data lie on a shared path or at URLs.
"""

import contextlib
import dataclasses
import os
import pathlib
import socket
import time
from typing import Any

import vidprior
from vidprior.batch.process import Outcome, Process, Unit, tail, thread_limits
from vidprior.errors import InputError

# Units that wait on the cluster: so it knows what to grow to.
_SUBMITTED = 1000
_POLL = 0.1  # seconds
_CONNECT = 5.0
# Seconds between looks at the head, and after which it is given up. Ray's own limit is 60.
_LOOK_EVERY = 5.0
_HEAD_GONE = 20.0
_PROBE = 120.0
# That are set aside for a unit.
_CORES = 2
# Variables of this process that units get.
_PASSED_ON = (
    "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "JAX_PLATFORMS", "NPROC", "OMP_NUM_THREADS",
    "XDG_CACHE_HOME", "XLA_FLAGS",
)  # fmt: skip


class RayEngine:
    """Runs units on a Ray cluster.

    Attributes:
      memory: bytes of the largest node; None: unknown.
    """

    def __init__(
        self, *, logs: pathlib.Path, address: str | None, cores: int | None, gpus: float | None
    ) -> None:
        """Connects, and asks every node for its version.

        Args:
          logs: a folder; each row has a file there.
          address: of the cluster; None: a cluster of this machine alone.
          cores: that each unit uses; None: two are set aside, and it uses what it likes, as a
            run by hand.
          gpus: of each unit; None: one if the cluster has any.

        Raises:
          InputError: Ray is not installed, no cluster answers, or a node is not fit.
        """
        try:
            import ray
        except ImportError as error:
            raise InputError("this needs Ray: python -m pip install 'vidprior[ray]'") from error
        self._ray, self._logs = ray, logs
        _connect(ray, address)
        self._address = address
        self._nodes = [node for node in ray.nodes() if node["Alive"]]
        resources = ray.cluster_resources()
        if gpus is None:
            gpus = 1.0 if resources.get("GPU") else 0.0
        self._gpus = gpus
        most = max((n["Resources"].get("CPU", 0) for n in self._nodes), default=0)
        if cores and most < cores:
            raise InputError(f"--cores={cores}: the largest node has {most:g}")
        self._cores = cores or min(_CORES, max(1, int(most)))
        self.memory = max((int(n["Resources"].get("memory", 0)) for n in self._nodes), default=None)
        self._env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._env |= thread_limits(cores)
        self._submitted: dict[Any, tuple[Unit, float]] = {}
        self._gone = False
        self._head = ray.get_runtime_context().gcs_address
        self._answered = self._looked = time.monotonic()
        _check_nodes(ray, self._nodes)

    def describe(self) -> str:
        """One line: what units have."""
        resources = self._ray.cluster_resources()
        where = self._address or "this machine"
        return (
            f"Ray on {where}: {len(self._nodes)} nodes, {resources.get('CPU', 0):g} cores, "
            f"{resources.get('GPU', 0):g} GPUs; {self._cores} cores and {self._gpus:g} GPUs a unit"
        )

    def has_room(self, unit: Unit) -> bool:
        """Whether the unit can be handed over now; Ray lets it wait for what it needs."""
        return len(self._submitted) < _SUBMITTED

    def start(self, unit: Unit) -> None:
        """Hands a unit over."""
        options = {
            "num_cpus": self._cores,
            "num_gpus": self._gpus,
            "memory": unit.memory,
            "max_retries": 0,  # the batch tries again itself, and counts
            "name": f"{unit.task.kind} {unit.task.name}",
        }
        remote = self._ray.remote(_work).options(**options)
        order = dataclasses.asdict(unit.task)
        reference = remote.remote(order, str(self._logs), self._env, os.getcwd())
        self._submitted[reference] = unit, time.monotonic()

    def wait(self, seconds: float) -> list[Outcome]:
        """The units that have ended; waits for one, but not longer than so many seconds."""
        if not self._submitted:
            return []
        self._require_head()
        try:
            found, _ = self._ray.wait(list(self._submitted), num_returns=1, timeout=seconds)
            if found:  # all that have ended by now
                count = len(self._submitted)
                found, _ = self._ray.wait(list(self._submitted), num_returns=count, timeout=0)
            return [self._outcome(reference) for reference in found]
        except ConnectionError as error:
            raise self._lost() from error

    def _require_head(self) -> None:
        """Looks now and then whether the head answers: without it, Ray would end this process."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        if _answers(self._head) is None:
            self._answered = now
        elif now - self._answered > _HEAD_GONE:
            raise self._lost()

    def _lost(self) -> InputError:
        self._submitted.clear()
        self._gone = True
        return InputError(
            f"the head of the Ray cluster, {self._head}, is gone: start it and rerun the command; "
            f"it goes on where it stood"
        )

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        unit, began = self._submitted.pop(reference)
        seconds = time.monotonic() - began
        try:
            report, died, seconds, log = self._ray.get(reference)
        except errors.TaskCancelledError:
            return Outcome(unit, {"stopped": ""}, seconds=seconds)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            reason = str(error).strip().splitlines()[0]
            return Outcome(unit, {"error": f"its worker died: {reason}"}, died=True)
        except errors.RayTaskError as error:
            reason = str(error.cause or error).strip().splitlines()[-1]
            return Outcome(unit, {"error": f"its worker failed: {reason}"}, seconds=seconds)
        if log is not None:  # the worker does not see the batch's folder
            self._logs.mkdir(parents=True, exist_ok=True)
            with (self._logs / f"{unit.task.name}.log").open("a") as stream:
                stream.write(log)
        return Outcome(unit, report, died, seconds)

    def running(self) -> list[Unit]:
        """The units that were handed over, the oldest first."""
        return [unit for unit, _ in self._submitted.values()]

    def stop(self) -> None:
        """Asks all units to save their state and end."""
        for reference in self._submitted:
            self._ray.cancel(reference)

    def close(self) -> None:
        """Leaves the cluster; units that run end with their workers."""
        if self._gone:
            return
        with contextlib.suppress(Exception):
            for reference in self._submitted:
                self._ray.cancel(reference, force=True)
        with contextlib.suppress(Exception):
            self._ray.shutdown()


def _work(
    order: dict[str, Any], logs: str, env: dict[str, str], folder: str
) -> tuple[dict[str, Any], bool, float, str | None]:
    """Runs a unit on a node; returns its report, whether it died, seconds, and its log.

    The log is None where it lies in the batch's own folder.
    """
    from vidprior.batch.unit import Task

    task, began = Task.from_fields(order), time.monotonic()
    shared = os.path.isdir(os.path.dirname(logs))
    log = pathlib.Path(logs if shared else os.path.join(task.scratch, "logs")) / f"{task.name}.log"
    # Ray's own variables, such as the GPUs of this task, are there already.
    process = Process(task, log, env=env, folder=folder if os.path.isdir(folder) else None)
    try:
        while (told := process.poll()) is None:
            time.sleep(_POLL)
    except KeyboardInterrupt:  # the task is cancelled
        process.stop()
        while (told := process.poll()) is None:
            time.sleep(_POLL)
    report, died = told
    return report, died, time.monotonic() - began, None if shared else tail(log)


def _version() -> str:
    """That of a worker."""
    return vidprior.__version__


def _connect(ray: Any, address: str | None) -> None:
    if address is not None and address != "auto":
        host, colon, port = address.rpartition("://")[2].rpartition(":")
        if not colon or not port.isdecimal():
            raise InputError(f"--address={address}: give HOST:PORT, for example 10.0.0.1:6379")
        reason = _answers(f"{host}:{port}")
        if reason is not None:
            raise InputError(f"--address={address}: no Ray cluster answers ({reason})")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options = {"logging_level": "error", "log_to_driver": False}
    if address is None:
        options["include_dashboard"] = False
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--address={address}: no Ray cluster answers ({reason})") from error


def _check_nodes(ray: Any, nodes: list[dict[str, Any]]) -> None:
    """Refuses nodes without the package, or with another version of it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in nodes:
        if node["Resources"].get("CPU"):
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            remote = ray.remote(_version).options(num_cpus=0, scheduling_strategy=where)
            asked[node["NodeManagerAddress"]] = remote.remote()
    for host, reference in asked.items():
        try:
            version = ray.get(reference, timeout=_PROBE)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"worker {host} cannot load vidprior: install the same version there "
                f"({vidprior.__version__}; {reason})"
            ) from error
        if version != vidprior.__version__:
            raise InputError(
                f"worker {host} has vidprior {version}, this machine {vidprior.__version__}: "
                f"install one version on all"
            )


def _answers(address: str) -> str | None:
    """None if something listens at HOST:PORT; otherwise the reason why nothing does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None
