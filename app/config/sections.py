"""Every key of a run's config, its unit, its default and its range."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from app.config.ladder import LADDER

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Range = tuple[float, float]  # (low, high), low <= high: drawn uniformly
_CLOCK = r"(([01]?\d|2[0-3]):[0-5]\d|24:00)"
ClockSpan = Annotated[str, Field(pattern=rf"^\s*{_CLOCK}\s*-\s*{_CLOCK}\s*$")]
PositiveRange = tuple[PositiveFloat, PositiveFloat]
NonNegativeRange = tuple[NonNegativeFloat, NonNegativeFloat]

Codec = Literal["g711-ulaw", "g711-alaw", "gsm", "ima-adpcm", "mp3", "opus", "vorbis", "telephone-band"]
CODECS: tuple[Codec, ...] = get_args(Codec)


if TYPE_CHECKING:
    ModelName = str
else:
    ModelName = Literal[tuple(LADDER)]

Adapter = Literal[
    "auto", "contest", "asvspoof2019_la", "asvspoof2021_la", "asvspoof2021_df", "asvspoof5", "in_the_wild", "wavefake",
    "folder", "table",
]  # fmt: skip
CorpusName = Annotated[str, Field(pattern=r"^\w[\w-]*$")]


class Section(BaseModel):
    """A frozen part of the config: unknown keys and loose types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ranges_rise(self) -> "Section":
        for name, value in self:
            is_range = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], float)
            if is_range and value[0] > value[1]:
                raise ValueError(f"{name}: the first number of a range may not exceed the second")
        return self


class TableConfig(Section):
    """A table of one's own (adapter: table): which column is what. null: there is no such column."""

    file: str | None = None  # a CSV, or JSON lines (.jsonl); null: the only one in the folder
    id: str | None = None  # null: the path serves
    path: str = "path"
    label: str = "label"
    speaker: str | None = None
    attack: str | None = None
    language: str | None = None
    parent: str | None = None
    source: str | None = None
    split: str | None = None  # null: all of it is learnt from
    real: tuple[str, ...] = ("real", "bonafide", "bona-fide", "genuine")  # what its label column says of a real voice
    fake: tuple[str, ...] = ("fake", "spoof", "spoofed", "deepfake")
    train: tuple[str, ...] = ("train", "training", "dev", "valid", "validation", "val")  # what its split column says
    test: tuple[str, ...] = ("test", "testing", "eval", "evaluation")

    @model_validator(mode="after")
    def _means_one_thing(self) -> "TableConfig":
        for one, other in (("real", "fake"), ("train", "test")):
            if both := sorted({*getattr(self, one)} & {*getattr(self, other)}):
                raise ValueError(f"'{both[0]}' stands in both {one} and {other}")
        return self


class CorpusConfig(Section):
    """One of several corpora."""

    data: str  # folder below DATA
    adapter: Adapter = "auto"
    table: TableConfig | None = None  # null: as prepare.table


class TestConfig(Section):
    labels: str | None = "test_labels.csv"  # file in the corpus folder; without it, validation is all there is
    data: str | None = None  # folder below DATA of another corpus, which is the test; null: what DATA itself tests on
    corpus: Adapter = "auto"  # that corpus' layout
    table: TableConfig | None = None  # of that corpus; null: as prepare.table

    @model_validator(mode="after")
    def _is_of_a_corpus(self) -> "TestConfig":
        for key in ("corpus", "table"):
            if self.data is None and getattr(self, key) not in ("auto", None):
                raise ValueError(f"{key} tells of the corpus in test.data, which is not given")
        return self


class PrepareConfig(Section):
    adapter: Adapter = "auto"  # the corpus' layout; auto: the one that fits
    table: TableConfig = TableConfig()
    corpora: dict[
        CorpusName, CorpusConfig
    ] = {}  # several, by name, each in a folder below DATA; {}: DATA itself is one
    min_seconds: PositiveFloat = 0.3  # shorter clips are recorded as failed
    max_seconds: PositiveFloat = 60.0  # only this much of a longer training clip is read
    silent_dbfs: float = -70.0  # a clip whose loudest frame lies below is recorded as failed
    valid_fraction: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.3  # of training clips, wanted in validation
    hold_out: Literal["speaker", "source"] = "speaker"  # source: all real voices of a source lie in one split
    shard_clips: PositiveInt = 200

    @property
    def limits(self) -> dict[str, float]:
        """What a usable training clip keeps to, as `app.audio.io.load_clip` takes it."""
        return {"min_seconds": self.min_seconds, "max_seconds": self.max_seconds, "silent_dbfs": self.silent_dbfs}


class DenoiseConfig(Section):
    method: Literal["gate", "none"] = "gate"
    stationary: bool = True  # one noise profile a clip; false: it follows the clip
    reduction: Probability = 0.7  # how much of the noise is taken away (noisereduce's prop_decrease)
    bank_segment_s: PositiveFloat = 0.1  # shortest stretch without speech that enters the noise bank
    bank_below_db: PositiveFloat = 25.0  # a frame this far below the clip's speech level holds no speech
    shard_clips: PositiveInt = 100


class StateShares(Section):
    """How often each state is drawn; any positive numbers, they are normalised."""

    none: NonNegativeFloat = 0.12
    real: NonNegativeFloat = 0.21
    fake: NonNegativeFloat = 0.21
    real_real: NonNegativeFloat = 0.09
    fake_fake: NonNegativeFloat = 0.09
    real_fake: NonNegativeFloat = 0.28

    @model_validator(mode="after")
    def _some_state(self) -> "StateShares":
        if sum(dict(self).values()) <= 0:
            raise ValueError("at least one state needs a share above 0")
        return self


class Augmentations(Section):
    """Probability of each augmentation of a clip, and of a chain for each of its voices."""

    chain: Probability = 0.0
    room: Probability = 0.33
    codec: Probability = 0.33
    band_stop: Probability = 0.1


class TrainAugmentations(Augmentations):
    chain: Probability = 0.85  # of a voice, to be heard through another microphone, equaliser and file


class MixConfig(Section):
    train_clips: PositiveInt = 24000
    valid_clips: PositiveInt = 1600  # both halves together
    window_s: PositiveFloat = 5.0
    states: StateShares = StateShares()
    voice_s: PositiveRange = (1.0, 4.5)  # length wanted of a voice; clips of one speaker are joined to reach it
    second_voice_db: Range = (-10.0, 10.0)  # level of the second voice against the first
    snr_db: Range = (0.0, 30.0)  # active voice level against the noise
    noise_bank: Probability = 0.5  # recorded noise plus computed; else computed noise alone
    noise_dirs: tuple[str, ...] = ()  # folders below DATA of recorded noise (MUSAN, RIRS_NOISES, ...), beside the bank
    noise_max_s: PositiveFloat = 20.0  # only this much of each of their recordings is kept
    rir_dirs: tuple[str, ...] = ()  # folders below DATA with room impulse responses
    rir_share: Probability = 0.5  # of rooms, those that are drawn from rir_dirs, where there are any; else computed
    noise_colour: Range = (0.0, 2.0)  # exponent a of the computed noise's power spectrum f^-a
    hum: Probability = 0.2  # mains hum of 50 or 60 Hz and its harmonics within the noise
    level_dbfs: Range = (-30.0, -16.0)  # RMS of the finished clip
    train: TrainAugmentations = TrainAugmentations()
    valid: Augmentations = Augmentations()  # fixed, test-like rates
    corpus_weights: dict[
        CorpusName, PositiveFloat
    ] = {}  # of several corpora: how often each speaks; 1 where none is given
    room_t60_s: PositiveRange = (0.15, 0.8)  # reverberation time
    room_drr_db: Range = (-2.0, 12.0)  # direct against reverberant energy
    codecs: tuple[Codec, ...] = CODECS
    band_stop_hz: PositiveRange = (200.0, 6000.0)  # where a stopped band may lie
    band_stop_octaves: PositiveRange = (0.2, 0.8)  # its width
    materialise: bool = False  # also write the audio, to listen to
    shard_clips: PositiveInt = 1000


class ExtractConfig(Section):
    front_end: Literal["none", "gate"] = "none"  # the same for train, valid, test and single files
    frame_s: Annotated[float, Field(gt=0.0, le=1.0)] = 0.064
    hop_s: Annotated[float, Field(gt=0.0, le=1.0)] = 0.010
    mels: PositiveInt = 64
    mel_hz: NonNegativeRange = (40.0, 14000.0)
    f0_hz: PositiveRange = (65.0, 600.0)
    roll_off: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.85  # share of the summed magnitude below the roll-off
    contrast_bands: Annotated[int, Field(ge=1, le=6)] = 5  # octaves from 200 Hz; one more row for what lies below
    texture_bands: Annotated[int, Field(ge=1, le=24)] = 12  # of equal width, in which single pulses of a voice are seen
    texture_hz: PositiveRange = (80.0, 6800.0)  # from where to where they reach, below 0.45 of the sample rate
    batch_clips: PositiveInt = 16  # computed at once on a GPU; a CPU takes one by one
    shard_clips: PositiveInt = 128


class TrainConfig(Section):
    models: tuple[ModelName, ...] = ("pooled_logistic", "crnn")  # in this order, quickest first
    seed: Annotated[int, Field(ge=0)] | None = None  # of weights, order and dropout; null: as all else, seed
    epochs: PositiveInt = 3
    batch_clips: PositiveInt = 32  # the global batch, whatever the number of processes
    learning_rate: PositiveFloat | None = None  # peak of a one-cycle schedule; null: the model's own
    weight_decay: NonNegativeFloat = 1e-2
    dropout: Probability = 0.2
    cnn_channels: tuple[PositiveInt, ...] = (16, 32, 48, 64)
    rnn_hidden: PositiveInt = 48
    ssl: Literal["WAV2VEC2_BASE", "HUBERT_BASE", "WAV2VEC2_XLSR_300M"] = "WAV2VEC2_XLSR_300M"  # of ssl_head
    ssl_weights: str | None = None  # file with its weights (.pth, .safetensors); null: where torchaudio leaves them
    spec_augment: bool = True  # random stripes of time and frequency are hidden from the model
    clip_norm: PositiveFloat = 5.0  # longest gradient
    patience: PositiveInt = 5  # epochs without a better score on select, then stop
    on_the_fly: bool = False  # every epoch renders mixtures of its own from the denoised voices, as many as planned
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.998  # of the weights' running average, which then answers; 0: none
    precision: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"  # auto: bfloat16 on newer GPUs
    compile: bool = False  # torch.compile: a minute at each start, then faster steps on a GPU
    checkpoint_minutes: PositiveFloat = 5.0
    checkpoint_steps: Annotated[int, Field(ge=0)] = 0  # and after so many steps; 0: by minutes and epochs alone


class Domain(Section):
    """What a setting is chosen from in a sweep: one of these."""

    uniform: Range | None = None
    log: PositiveRange | None = None  # uniform in its logarithm
    choice: list[Any] | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> "Domain":
        given = [value for value in (self.uniform, self.log, self.choice) if value is not None]
        if len(given) != 1 or not given[0]:
            raise ValueError("one of these is wanted: uniform: [low, high], log: [low, high], choice: [value, ...]")
        return self

    @model_serializer
    def _without_what_it_is_not(self) -> dict[str, Any]:
        return {name: value for name, value in self if value is not None}


SWEPT = {  # keys of train
    "learning_rate": Domain(log=(3e-4, 1e-2)),
    "weight_decay": Domain(log=(1e-3, 1e-1)),
    "dropout": Domain(uniform=(0.0, 0.5)),
    "batch_clips": Domain(choice=[16, 32, 64]),
    "rnn_hidden": Domain(choice=[32, 48, 64, 96]),
}
NOT_SWEPT = {
    "seed": "luck is no setting; `make seeds` tells how much of it there is",
    "epochs": "trials are compared epoch by epoch",
    "patience": "trials are compared epoch by epoch",
}


class SweepConfig(Section):
    model: ModelName = "crnn"
    space: dict[str, Domain] = SWEPT  # key of train: uniform or log [low, high], or a choice; others' keys are left out

    @field_validator("space")
    @classmethod
    def _is_of_train(cls, space: dict[str, Domain]) -> dict[str, Domain]:
        known = {key for rung in LADDER.values() for key in rung.keys} - NOT_SWEPT.keys()
        for key in space:
            if key in NOT_SWEPT:
                raise ValueError(f"space.{key}: {NOT_SWEPT[key]}")
            if key not in known:
                raise ValueError(f"space: train.{key} shapes no model; what does: {', '.join(sorted(known))}")
        return {key: _as_of_train(key, domain) for key, domain in space.items()}


def _as_of_train(key: str, domain: Domain) -> Domain:
    """With its values as train.KEY holds them: 0 is 0.0 where that is no whole number, and 16.0 is 16 where it is."""
    values = [value_of_train(key, value) for value in domain.choice or domain.uniform or domain.log or ()]
    if domain.choice is None:
        return domain
    if twice := [value for at, value in enumerate(values) if value in values[:at]]:
        raise ValueError(f"space.{key}: {twice[0]!r} stands in choice twice")
    return domain.model_copy(update={"choice": values})


def value_of_train(key: str, value: Any) -> Any:
    """A value of sweep.space as train.KEY holds it, lists as lists. Raises ValueError where it may not be that."""
    wants_whole = TrainConfig.model_fields[key].annotation is int and isinstance(value, float) and value.is_integer()
    try:
        train = TrainConfig.model_validate_json(json.dumps({key: int(value) if wants_whole else value}))
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"space.{key}: {value!r} is no train.{key} ({what})") from None
    return train.model_dump(mode="json")[key]


class InferConfig(Section):
    model: ModelName | None = None  # null: the one with the best score on select
    batch_clips: PositiveInt = 64
    overlap_s: NonNegativeFloat = 2.5  # of neighbouring windows in recordings longer than one window
    submission: bool = True  # write and check submission.csv where the corpus has a sample


class EvaluateConfig(Section):
    final: bool = False  # look at the test labels; each look is logged
    ece_bins: Annotated[int, Field(ge=2, le=100)] = 10
    bootstrap: Annotated[int, Field(ge=0, le=10000)] = 500  # resamples behind every interval
    shown: Annotated[int, Field(ge=0, le=100)] = 5  # clips of each kind, mistakes and doubts, of test and validation
    explain_s: Annotated[float, Field(ge=0)] = 120.0  # for what carried the answers; the other clips do without


class RuntimeConfig(Section):
    """What shapes no byte of the output."""

    workers: Annotated[int, Field(ge=0)] = 0  # processes; 0: half of the cores we may use
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_failed: Probability = 0.01  # over this share of failed clips (and over 20 of them) a job stops
    heartbeat_s: PositiveFloat = 2.0
    grace_s: PositiveFloat = 20.0  # from being told to stop until the job has left
    clip_seconds: PositiveFloat = 300.0  # a clip that takes longer has hung: its worker is ended
    memory_gb: NonNegativeFloat = 0.0  # of all processes of a job together; 0: half of what we may use
    write_mb_s: NonNegativeFloat = 100.0  # written per second by all processes of a job; 0: no cap
    nice: Annotated[int, Field(ge=0, le=19)] = 19
    yield_to_others: bool = True  # pause workers while others need the cores
    yield_period_s: PositiveFloat = 0.5  # how long the others' load is averaged
    yield_slack: NonNegativeFloat = 0.5  # cores of others that we do not mind
    yield_resume_s: NonNegativeFloat = 5.0  # so long the cores must be free before a paused worker goes on
    gpu_wait: bool = False  # wait for a GPU that fits (GPU=wait) where none is free
    gpu_free_gb: NonNegativeFloat = 8.0  # memory that must be free on a GPU for us to take it
    gpu_busy: Probability = 0.2  # a GPU used more than this, over some seconds, belongs to somebody
    gpu_memory_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9  # of the free memory, that we take at most
    gpu_hours: ClockSpan | None = None  # "20:00-08:00": GPUs are used only between these hours; null: always
    max_gpus: PositiveInt = 1  # at most, of a training (GPUS=2): one process a GPU; other jobs take one
    processes: PositiveInt = 1  # of a training on a CPU, which share its cores
    notify: str | None = None  # a command run when a job is done, failed or stopped; see docs/jobs.md
    log_mb: PositiveFloat = 10.0  # a job's log is rotated beyond this; three old ones are kept


class Config(Section):
    seed: Annotated[int, Field(ge=0)] = 20261122
    sample_rate: Annotated[int, Field(ge=8000, le=192000)] = 32000  # Hz, of everything after denoise
    test: TestConfig = TestConfig()
    prepare: PrepareConfig = PrepareConfig()
    denoise: DenoiseConfig = DenoiseConfig()
    mix: MixConfig = MixConfig()
    extract: ExtractConfig = ExtractConfig()
    train: TrainConfig = TrainConfig()
    sweep: SweepConfig = SweepConfig()
    infer: InferConfig = InferConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @property
    def training_seed(self) -> int:
        return self.seed if self.train.seed is None else self.train.seed

    @model_validator(mode="after")
    def _names_its_corpora(self) -> "Config":
        for name in self.mix.corpus_weights:
            if name not in self.prepare.corpora:
                known = ", ".join(self.prepare.corpora) or "none"
                raise ValueError(f"mix.corpus_weights: '{name}' is none of prepare.corpora ({known})")
        return self

    @model_validator(mode="after")
    def _fits_the_rate(self) -> "Config":
        nyquist = self.sample_rate / 2
        if self.extract.mel_hz[1] > nyquist:
            raise ValueError(
                f"extract.mel_hz: {self.extract.mel_hz[1]:g} Hz lies above half of sample_rate ({nyquist:g} Hz); "
                f"[{self.extract.mel_hz[0]:g}, {0.95 * nyquist:g}] would do"
            )
        if 200 * 2**self.extract.contrast_bands >= nyquist:
            raise ValueError(
                f"extract.contrast_bands: {self.extract.contrast_bands} octaves from 200 Hz reach beyond {nyquist:g} Hz"
            )
        if 1 / self.extract.f0_hz[0] * 2 > self.extract.frame_s:
            raise ValueError(f"extract.f0_hz: {self.extract.f0_hz[0]:g} Hz needs a frame_s of two periods at least")
        if self.mix.voice_s[1] > self.mix.window_s:
            raise ValueError("mix.voice_s: a voice cannot be longer than mix.window_s")
        if self.infer.overlap_s >= self.mix.window_s:
            raise ValueError("infer.overlap_s must be shorter than mix.window_s")
        return self
