"""Made-up corpora for the tests: files in the contest layout, and manifest rows without any audio."""

import numpy as np

from app.corpora.manifest import BONAFIDE, recording

RATE = 16000
TRAIN = "id,path,label\na,train/a.ogg,real\nb,train/b.ogg,fake\n"


def write_corpus(folder, **files):
    """write_corpus(folder, train=..., meta=...) writes train.csv, meta.csv; the audio is not needed to read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"train": TRAIN, **files}.items():
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (folder / f"{name}.csv").write_bytes(data)
    return folder


def random_corpus(seed, nameless=0.2):
    """Rows of a corpus as corpora are: real speakers, their clones (by parent or by name), engines, gaps in meta.csv.

    Engines "tts*" speak with voices of their own, some of them shared by two engines;
    engines "vc*" clone real speakers. Returns (rows, clusters of the nameless).
    """
    rng = np.random.default_rng(seed)
    rows, clusters = [], {}

    def add(label, **known):
        id = f"{rng.integers(36**7):07d}{len(rows)}"
        rows.append(recording(id=id, path=f"train/{id}.ogg", label=label, split="train", **known))
        if not known.get("speaker") and not known.get("attack"):
            clusters[id] = f"cluster-{rng.integers(12):04d}"
        return id

    for speaker in range(rng.integers(6, 15)):
        for _ in range(rng.integers(1, 20)):
            if rng.random() < nameless:
                add((0, 1))
                continue
            parent = add((0, 1), speaker=f"s{speaker}", attack=BONAFIDE)
            if speaker < 4 and rng.random() < 0.3:
                # by parent alone, or by the speaker's name alone
                named = {"parent": parent} if rng.random() < 0.5 else {"speaker": f"s{speaker}"}
                add((1, 0), attack=f"vc{rng.integers(2)}/s{speaker}", **named)
    for engine in range(rng.integers(5, 10)):
        for voice in range(rng.integers(1, 4)):
            shared = engine < 2 and voice == 0
            for _ in range(rng.integers(1, 12)):
                speaker = "one voice in two engines" if shared else f"tts{engine}/{voice}"
                add((1, 0), speaker=speaker if rng.random() < 0.7 else None, attack=f"tts{engine}/{voice}")
    return [rows[i] for i in rng.permutation(len(rows))], clusters


def voices_and_bank(split="train", speakers=6, clips=8, seed=0):
    """Rows as denoise leaves them, real and fake, and segments of a noise bank; `speakers` of each label."""
    rng = np.random.default_rng(seed)
    voices, bank = [], []
    for fake in (0, 1):
        for speaker in range(speakers):
            for clip in range(clips):
                name = f"{'engine' if fake else 'speaker'}{speaker}"
                attack = f"{name}/{split}" if fake else BONAFIDE
                row = recording(
                    id=f"{split}-{name}-{clip}",
                    path="",
                    label=(fake, 1 - fake),
                    split=split,
                    speaker=f"{split}/{name}",
                    attack=attack,
                    language="ko",
                )
                length = int(rng.integers(0.4 * RATE, 6 * RATE))
                active = "".join(map(str, rng.integers(0, 10, length // 1600)))
                voices.append({**row, "num_samples": length, "active": active})
                if rng.random() < (0.2 if fake else 0.6):  # pauses are commoner in real recordings
                    known = {key: row[key] for key in ("split", "fake", "real", "speaker", "attack", "sources")}
                    bank.append({"id": f"{row['id']}@{rng.integers(999)}", **known, "num_samples": 2000})
    return voices, bank
