"""The words of the report, for whoever meets them for the first time."""

WORDS = {
    "select, calibrate": "The two halves of validation: people, engines and noises that training never had. The first"
    " chose epoch and model, the second fitted calibration and thresholds.",
    "score": "The contest's: 0.5 (1 - AUC) + 0.25 Brier + 0.25 ECE, each the mean of both answers. 0 is perfect.",
    "AUC": "How often a clip with such a voice gets a higher answer than one without; 0.5 is chance.",
    "EER": "The share of errors where as many voices are missed as are called without being there.",
    "Brier": "The mean square of how far an answer lies from the truth, 0 or 1.",
    "ECE": "How far answers are from the share of times that they are right, over ten bins.",
    "all 0.5, prevalence": "What two answers score without listening: 0.5 to everything, or how often each voice"
    " occurs.",
    "logit, T, a z + b": "A network answers with a logit z; p = 1 / (1 + exp(-z)). Calibration divides it by T, or"
    " takes a z + b, so that p means what it says.",
    "minDCF, Cllr": "Costs of decisions and of probabilities on clips with one voice, as ASVspoof counts them; 1 is no"
    " better than a constant answer.",
    "f0_hz, voicing": "Pitch, and how sure it is that there is one.",
    "rolloff, centroid, bandwidth, flatness, flux, contrast": "Where the energy of the spectrum lies, how wide, how"
    " noise-like it is, how fast it rises, and how far peaks stand over valleys in each band.",
    "zcr, rms": "How often the wave crosses zero, and how loud it is.",
}
