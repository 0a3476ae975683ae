"""Corpora in the layouts in which they are published, with a few made-up recordings each."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def voice(path: Path, seed: int = 0) -> Path:
    """A second of something with a pitch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *str(path.name).encode()])
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * rng.uniform(100, 250) * time) * np.sin(2 * np.pi * 3 * time)
    soundfile.write(path, 0.2 * tone + 0.01 * rng.standard_normal(RATE), RATE)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def asvspoof2019_la(folder: Path) -> Path:
    """LA.zip: speakers of train and dev speak with all six attacks, as in the original."""
    protocols = folder / "LA" / "ASVspoof2019_LA_cm_protocols"
    number = 0
    for part, name, speakers, attacks in (
        ("train", "train.trn", range(79, 85), range(1, 7)),
        ("dev", "dev.trl", range(69, 75), range(1, 7)),
        ("eval", "eval.trl", range(1, 4), range(7, 9)),
    ):
        lines = []
        for speaker in speakers:
            for attack in ["-", "-", *(f"A{n:02d}" for n in attacks)]:
                number += 1
                id = f"LA_{part[0].upper()}_{1000000 + number}"
                lines.append(f"LA_{speaker:04d} {id} - {attack} {'bonafide' if attack == '-' else 'spoof'}")
                voice(folder / "LA" / f"ASVspoof2019_LA_{part}" / "flac" / f"{id}.flac")
        write(protocols / f"ASVspoof2019.LA.cm.{name}.txt", "\n".join(lines) + "\n")
    write(folder / "LA" / "README.LA.txt", "ASVspoof 2019\n")
    return folder


LA_2021 = """\
LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval
LA_0020 LA_E_7294490 g722 loc_tx bonafide bonafide notrim eval
LA_0011 LA_E_1000004 none none A12 spoof notrim progress
LA_0011 LA_E_1000005 none none bonafide bonafide trim hidden
"""


def asvspoof2021_la(folder: Path, keys: bool = True) -> Path:
    ids = [line.split()[1] for line in LA_2021.splitlines()]
    write(folder / "ASVspoof2021_LA_eval" / "ASVspoof2021.LA.cm.eval.trl.txt", "\n".join(ids) + "\n")
    for id in ids:
        voice(folder / "ASVspoof2021_LA_eval" / "flac" / f"{id}.flac")
    if keys:
        write(folder / "LA-keys-full" / "keys" / "LA" / "CM" / "trial_metadata.txt", LA_2021)
    return folder


DF_2021 = """\
LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -
TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive Task1 team20 FF E
TGF1 DF_E_2000024 mp3m4a vcc2020 Task2-team12 spoof notrim eval traditional_vocoder Task2 team12 FF G
TEF1 DF_E_2000026 mp3m4a vcc2020 - bonafide notrim eval bonafide - - - -
"""


def asvspoof2021_df(folder: Path) -> Path:
    """The four archives side by side, as they unpack; the recordings lie in any of them."""
    for number, line in enumerate(DF_2021.splitlines()):
        part = folder / f"ASVspoof2021_DF_eval_part{number % 2:02d}" / "ASVspoof2021_DF_eval"
        voice(part / "flac" / f"{line.split()[1]}.flac")
    write(folder / "keys" / "DF" / "CM" / "trial_metadata.txt", DF_2021)
    return folder


ASV5 = {
    "train": """\
T_4850 T_0000000000 F - - - AC3 A05 spoof -
T_0840 T_0000000001 M - - - AC1 A06 spoof -
T_3734 T_0000000011 F - - - - bonafide bonafide -
""",
    "dev.track_1": """\
D_0062 D_0000000001 F - - - AC1 A11 spoof -
D_0461 D_0000000190 M - - - - bonafide bonafide -
""",
    "eval.track_1": """\
E_1607 E_0009538969 F C08 6 E_0000000137 AC3 A26 spoof -
E_0020 E_0000000137 M - - - - bonafide bonafide -
""",
}


def asvspoof5(folder: Path) -> Path:
    for part, place in (("train", "flac_T"), ("dev.track_1", "flac_D"), ("eval.track_1", "flac_E_eval")):
        write(folder / f"ASVspoof5.{part}.tsv", ASV5[part])
        for line in ASV5[part].splitlines():
            voice(folder / place / f"{line.split()[1]}.flac")
    write(folder / "ASVspoof5.dev.track_2.trial.tsv", "D_0062 D_0000000001 F A11 spoof\n")
    return folder


def in_the_wild(folder: Path, speakers: int = 6) -> Path:
    root, lines, number = folder / "release_in_the_wild", ["file,speaker,label"], 0
    names = [
        "Alec Guinness",
        "Christopher Hitchens",
        "Barack Obama",
        "Bill Clinton",
        "Queen Elizabeth II",
        "Mark Twain",
    ]
    for name in names[:speakers]:
        for label in ("spoof", "bona-fide", "spoof", "bona-fide"):
            lines.append(f"{number}.wav,{name},{label}")
            voice(root / f"{number}.wav")
            number += 1
    write(root / "meta.csv", "\n".join(lines) + "\n")
    return folder


def wavefake(folder: Path, real: bool = True) -> Path:
    root = folder / "generated_audio"
    for name in ("LJ001-0001", "LJ001-0002"):
        voice(root / "ljspeech_melgan" / f"{name}_gen.wav")
        voice(root / "ljspeech_hifiGAN" / f"{name}_generated.wav")
        voice(root / "ljspeech_waveglow" / f"{name}.wav")
        if real:
            voice(folder / "LJSpeech-1.1" / "wavs" / f"{name}.wav")
    voice(root / "jsut_parallel_wavegan" / "BASIC5000_0001_gen.wav")
    spoken = root / "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"
    for name in ("gen_0.wav", "generated/gen_0.wav"):
        voice(spoken / name)
    if real:
        voice(folder / "jsut_ver1.1" / "basic5000" / "wav" / "BASIC5000_0001.wav")
    return folder


def plain(folder: Path) -> Path:
    for speaker in "abcdef":
        voice(folder / "real" / speaker / "1.wav")
        voice(folder / "fake" / f"engine-{speaker}" / "1.wav")
    write(folder / "real" / "notes.txt", "made by hand\n")
    return folder


def own_table(folder: Path, name: str = "list.csv") -> Path:
    lines = ["utt,wav,target,spk,system,fold"]
    for number, speaker in enumerate("abcdefgh"):
        lines.append(f"r{number},wav/r{number}.wav,1,{speaker},-,{'eval' if speaker == 'h' else 'train'}")
        lines.append(f"s{number},wav/s{number}.wav,0,,tts{number},{'eval' if speaker == 'h' else 'train'}")
        voice(folder / "wav" / f"r{number}.wav")
        voice(folder / "wav" / f"s{number}.wav")
    write(folder / name, "\n".join(lines) + "\n")
    return folder


OWN_COLUMNS = {
    "id": "utt", "path": "wav", "label": "target", "speaker": "spk", "attack": "system", "split": "fold",
    "real": ("1",), "fake": ("0",),
}  # fmt: skip


def noise(path: Path, seconds: float = 1.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([*str(path.name).encode()])
    soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * RATE)), RATE)
    return path


def musan(folder: Path) -> Path:
    """noise, music with and without vocals, and speech, each with its ANNOTATIONS and LICENSE."""
    for number in range(8):
        noise(folder / "musan" / "noise" / "free-sound" / f"noise-free-sound-{number:04d}.wav", 7.0)
        noise(folder / "musan" / "speech" / "librivox" / f"speech-librivox-{number:04d}.wav")
        noise(folder / "musan" / "music" / "fma" / f"music-fma-{number:04d}.wav", 6.0)
    write(folder / "musan" / "noise" / "free-sound" / "LICENSE", "public domain\n")
    lines = [f"music-fma-{n:04d} jazz,blues {'Y' if n % 2 else 'N'} Musician_{n // 4}" for n in range(7)]
    write(folder / "musan" / "music" / "fma" / "ANNOTATIONS", "\n".join(lines) + "\n")
    return folder


def response(path: Path, delay: int = 40, channels: int = 1) -> Path:
    """A direct sound after a delay, and a tail that dies away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([*str(path.name).encode()])
    tail = rng.standard_normal((4000, channels)) * np.exp(-np.arange(4000) / 400)[:, None] * 0.1
    tail[0] = 0.9
    soundfile.write(path, np.concatenate([np.zeros((delay, channels)), tail]), RATE)
    return path


def rirs_noises(folder: Path) -> Path:
    """Its lists name everything from the folder above."""
    root = folder / "RIRS_NOISES"
    for size in ("smallroom", "mediumroom"):
        lines = []
        for room in range(1, 4):
            for place in range(1, 4):
                name = f"simulated_rirs/{size}/Room{room:03d}/Room{room:03d}-{place:05d}.wav"
                response(root / name)
                lines.append(
                    f"--rir-id {size}-Room{room:03d}-{place:05d} --room-id {size}-Room{room:03d} RIRS_NOISES/{name}"
                )
        write(root / "simulated_rirs" / size / "rir_list", "\n".join(lines) + "\n")
    real = "real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav"
    response(root / real, delay=300, channels=8)
    write(
        root / "real_rirs_isotropic_noises" / "rir_list", f"--rir-id 00001 --room-id RVB_large1  RIRS_NOISES/{real}\n"
    )
    for number in range(4):
        noise(root / "pointsource_noises" / f"noise-free-sound-{number:04d}.wav")
    lines = [
        f"--noise-id {n:05d} --noise-type point-source --bg-fg-type foreground RIRS_NOISES/pointsource_noises/"
        f"noise-free-sound-{n:04d}.wav"
        for n in range(4)
    ]
    write(root / "pointsource_noises" / "noise_list", "\n".join(lines) + "\n")
    return folder
