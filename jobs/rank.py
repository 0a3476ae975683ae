"""One process of a training that several do together: started by torchrun, for the job `train`."""

import json
import os
from pathlib import Path
from typing import Any

from app.config import Config
from app.runtime.autogroup import lower_autogroup
from app.runtime.member import Member
from jobs.training import Sources, shared_out, trainer_of


def _train(member: Member) -> None:
    import torch

    from app.compat import device_within, use_threads
    from app.learning.world import Group, lost_peer

    task = member.task
    config = Config.model_validate_json(json.dumps(task["config"]))
    if os.getsid(0) == os.getpid():
        lower_autogroup(config.runtime.nice)
    workers = max(1, task["workers"] // int(os.environ["LOCAL_WORLD_SIZE"]))
    threads, renderers = shared_out(config, workers, task["gpus"])
    use_threads(threads)
    if task["gpus"]:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    device = device_within(config.runtime.device, config.runtime.gpu_memory_share) if task["gpus"] else "cpu"
    world = Group(torch.device(device))

    def tell(progress: Any, steps: int, metrics: dict[str, Any] | None) -> None:
        member.tell(step=progress.step, epoch=progress.epoch, steps=steps, metrics=metrics)

    trainer = trainer_of(
        config,
        task["model"],
        Sources(*task["sources"]),
        Path(task["folder"]),
        torch.device(device),
        renderers,
        say=member.say,
        saving=member.saving,
        world=world,
    )
    if trainer.progress.step:
        member.say(f"goes on after step {trainer.progress.step}, epoch {trainer.progress.epoch}")
    try:
        trainer.run(lambda: "", tell, between=member.breathe)
    except RuntimeError as error:
        if not (why := lost_peer(error)):
            raise
        member.gone(f"process {member.rank}: one beside it is gone ({why})")
    world.close()


if __name__ == "__main__":
    member = Member()
    member.run(lambda: _train(member))
