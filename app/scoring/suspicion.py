"""When validation looks too good to be true: on voices never heard, in noise, it hardly ever is."""

from app.scoring.metrics import Score

FEW = 50  # clips, of which a few right answers say nothing
BEST_AUC = 0.995  # of either output; the best published single models stay below .95 on such clips
QUICK_AUC = 0.97  # of statistics over time alone
QUICK = ("pooled_logistic", "pooled_boosting", "pooled_mlp")


def too_good(model: str, score: Score, clips: int) -> str:
    """A sentence, or "". score: on clips that chose neither weights nor calibration."""
    most = QUICK_AUC if model in QUICK else BEST_AUC
    columns = [(name, auc) for name, auc in (("fake", score.fake_auc), ("real", score.real_auc)) if auc > most]
    if clips < FEW or not columns:
        return ""
    told = " and ".join(f"{name} {auc:.3f}" for name, auc in columns)
    return (
        f"validation looks too good (AUC of {model}: {told} on {clips} clips): look for a shortcut in the audit of "
        "`make prepare` and for leaks with `make leaks` before you believe it"
    )
