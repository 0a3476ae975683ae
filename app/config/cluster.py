"""What a site's Slurm wants to hear: configs/cluster.yaml, or the file that CLUSTER names."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from app.config.file import read_as
from app.config.sections import Section


def _in_quotes(value: Any) -> Any:
    if isinstance(value, (int, float)):  # YAML takes 8:00:00 for a number
        raise ValueError('a time is wanted in quotes: "8:00:00"')
    return value


# as Slurm has it: "30:00", "8:00:00", "2-00:00:00"
Days = Annotated[str, BeforeValidator(_in_quotes), Field(pattern=r"^(\d+-)?\d{1,3}(:\d{2}){1,2}$")]


class Allocation(Section):
    """Of one task; null: as `every` has it, or, there, as the site does."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: Days | None = None
    cpus: PositiveInt | None = None  # WORKERS of the task
    memory_gb: PositiveFloat | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None  # of each node; a training takes all of them
    nodes: PositiveInt | None = None  # of a training (NODES)
    tasks: PositiveInt | None = None  # of an array: denoise, extract and infer share their shards among so many
    sbatch: tuple[str, ...] | None = None  # more of its options: ["--constraint=a100"]


class ClusterConfig(Section):
    """How jobs become Slurm's."""

    runtime: Literal["venv", "apptainer", "podman"] = "venv"  # what the command runs in, on the nodes
    image: str | None = None  # of apptainer (a .sif) or podman (a name)
    mounts: tuple[str, ...] = ()  # for these: folders that the nodes have, beside the project, DATA and RUNS
    before: tuple[str, ...] = ()  # lines of the shell before the command: ["module load cuda/12.8"]
    gpus_by: str = "--gpus-per-node={gpus}"  # older sites: "--gres=gpu:a100:{gpus}"
    warn_s: PositiveInt = 120  # before its time is up a task is told to stop
    yield_to_others: bool = False  # as runtime.yield_to_others: here it is Slurm that shares out the cores
    requeues: Annotated[int, Field(ge=0)] = 50  # how often a task that was stopped is queued again
    every: Allocation = Allocation(cpus=4, memory_gb=16.0, time="8:00:00", gpus=0, nodes=1, tasks=8)
    prepare: Allocation = Allocation()
    denoise: Allocation = Allocation()
    mix: Allocation = Allocation()
    extract: Allocation = Allocation()
    train: Allocation = Allocation()
    infer: Allocation = Allocation()
    evaluate: Allocation = Allocation()

    @model_validator(mode="after")
    def _check_nodes(self) -> Self:
        wrong = [job for job in type(self).model_fields if job != "train" and _nodes(getattr(self, job)) > 1]
        if wrong:
            raise ValueError(f"nodes of {wrong[0]}: only a training is spread over nodes; others have tasks")
        return self

    def of(self, job: str) -> dict[str, Any]:
        """The job's allocation, with `every`'s and our own values where it says nothing."""
        ours = type(self).model_fields["every"].default
        layers = [dict(ours), dict(self.every), dict(getattr(self, job))]
        return {key: next((one[key] for one in reversed(layers) if one[key] is not None), None) for key in layers[0]}


def _nodes(how: Any) -> int:
    return (how.nodes or 1) if isinstance(how, Allocation) else 1


def read_cluster(path: Path) -> ClusterConfig:
    """Raises UserError naming file, line, key and the nearest match."""
    return read_as(ClusterConfig, path, {}, "configs/cluster.yaml shows every key")
