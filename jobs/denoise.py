"""Decodes each training clip once, resamples it, gates its noise (or not), and keeps its pauses as a noise bank."""

import sys
from pathlib import Path
from typing import Any

from app.config import Config
from app.corpora.manifest import TRAIN_SPLITS, by_split
from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, cut, rows_of
from app.runtime.steps import step
from jobs.chain import need, spec_of


def denoise(run: Run) -> None:
    """Decodes each training clip once, resamples it, gates its noise (or not), and keeps its pauses as a noise bank."""
    prepared = need(run, "prepare")
    with open_job(run, "denoise", spec_of(run, "denoise")) as job:
        if not job.complete:
            rows = by_split(rows_of(prepared, shard="manifest"), *TRAIN_SPLITS)
            shards = cut(rows, run.config.denoise.shard_clips, run.part)
            preload = "app.audio.denoise" if run.config.denoise.method == "gate" else "app.audio.io"
            job.run(
                denoise_shard,
                shards,
                preload=preload,
                row_bytes=lambda row: sound_bytes(row, run.config.sample_rate),
                data=run.data,
                config=run.config,
            )


def sound_bytes(row: dict[str, Any], rate: int) -> float:
    """What a clip takes on disk: int16 at the run's rate, a share of it once more in the noise bank, its lines."""
    return 2.3 * row["num_samples"] / row["sample_rate"] * rate + 2000


def denoise_shard(shard: Shard, out: Draft, data: Path, config: Config) -> None:
    """audio.npy and noise.npy: int16 at the run's sample rate, end to end; manifest and noise.jsonl say where."""
    with step("load libraries"):
        from app.audio.denoise import gate
        from app.audio.io import load_clip
        from app.audio.level import active_share
        from app.audio.noise import speech_free
        from app.audio.open import BadClip
        from app.corpora.manifest import same_recording
        from app.corpora.plan import ACTIVE_STEP_S
        from app.corpora.sounds import SoundWriter
        from app.runtime.files import write_lines

    how, rate = config.denoise, config.sample_rate
    voices, bank = SoundWriter(out.path / "audio.npy"), SoundWriter(out.path / "noise.npy")
    for row in out.each(shard):
        try:
            with step("decode"):
                clip = load_clip(same_recording(data, row), rate, **config.prepare.limits)
        except BadClip as bad:
            out.fail(row, bad.cause, bad.detail)
            continue
        # before the gate: what a gate leaves in a pause is residue of the voice
        with step("pauses"):
            pauses = speech_free(clip.samples, rate, how.bank_below_db, how.bank_segment_s)
        for start, stop in pauses:
            known = {key: row[key] for key in ("split", "fake", "real", "speaker", "attack")}
            segment = {"id": f"{row['id']}@{start}", "sample_rate": rate, "sources": [row["id"]], **known}
            bank.add(segment, clip.samples[start:stop])
        samples = clip.samples
        if how.method == "gate":
            with step("gate"):
                samples = gate(samples, rate, stationary=how.stationary, reduction=how.reduction)
        with step("activity"):
            active = "".join(f"{share * 9:.0f}" for share in active_share(samples, rate, ACTIVE_STEP_S))
        out.done(voices.add({**row, "sample_rate": rate, "active": active}, samples))
    voices.close()
    bank.close()
    write_lines(out.path / "noise.jsonl", bank.rows)


if __name__ == "__main__":
    sys.exit(job_main(denoise))
