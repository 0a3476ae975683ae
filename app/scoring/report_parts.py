"""Tables and figures of the report, from the evaluations."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.scoring.bootstrap import NO_INTERVAL
from app.scoring.evaluation import Evaluation
from app.scoring.figures import det_figure, reliability_figure, roc_figure, training_figure
from app.scoring.group_figures import groups_figure
from app.scoring.scored import DOUBT, MISTAKE
from app.scoring.shown import Panel, ShownClip
from app.scoring.slices import SliceTable
from app.scoring.table import Cell, Table, number, ranged

# model -> epochs, each with epoch, train_loss, select_loss, select_score, select_auc
Training = Mapping[str, Sequence[Mapping[str, float | None]]]
TERMS = ("score", "fake_auc", "real_auc", "fake_eer", "real_eer", "fake_brier", "real_brier", "ece")
LOSSES = {"train_loss": "loss, training", "select_loss": "loss, select"}
TITLES = {"snr_db": "SNR, dB", "voices": "number of voices"}
TITLES_OF_CLIPS = {MISTAKE: "Worst mistakes", DOUBT: "Most doubtful"}
SCORES = {"select_auc": "AUC, select", "select_score": "score, select"}


def terms_table(evaluations: Sequence[Evaluation]) -> Table:
    """Each data set, then its floors."""
    rows: list[list[Cell]] = []
    for e in evaluations:
        chance = f"{number(e.ece_floor.mean)} ({number(e.ece_floor.low)} to {number(e.ece_floor.high)})"
        entries = [(e.name, e.score, chance.replace(" ", "\N{NO-BREAK SPACE}"), e.ranges)]
        entries += [(f"{e.name}: {f.name}", f.score, "–", {}) for f in e.floors]
        for name, s, floor, ranges in entries:
            terms = [ranged(getattr(s, term), ranges.get(term, NO_INTERVAL)) for term in TERMS]
            rows.append([name, *terms, floor, s.corrected_ece, s.corrected_score])
    columns = [
        "data set",
        "score",
        "AUC fake",
        "AUC real",
        "EER fake",
        "EER real",
        "Brier fake",
        "Brier real",
        "ECE",
        "ECE by chance",
    ]
    floors = [i for i, row in enumerate(rows) if row[0] not in {e.name for e in evaluations}]
    return Table(
        "Terms of the score",
        [*columns, "ECE corrected", "score corrected"],
        rows,
        "score = 0.5 (1 - mean AUC) + 0.25 mean Brier + 0.25 mean ECE; lower is better. ECE by chance: what a perfectly"
        " calibrated model would show on so many clips (mean, 95 %). Corrected: the contest's ECE counts a score on a"
        " bin edge in two different bins; here in one. In brackets: intervals of 95 % by bootstrap over clips.",
        floors,
    )


def decision_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """Each threshold on each data set; None where there are none."""
    rows: list[list[Cell]] = [
        [
            d.threshold.column,
            d.threshold.rule,
            d.threshold.p,
            e.name,
            ranged(d.hits, d.hit_range),
            ranged(d.false_alarms, d.alarm_range),
        ]
        for e in evaluations
        for d in e.decisions
    ]
    if not rows:
        return None
    return Table(
        "Yes or no",
        ["voice", "threshold by", "p at least", "data set", "hits", "false alarms"],
        sorted(rows, key=lambda row: (row[0], row[1] != "EER", row[1])),
        "Thresholds were chosen on calibrate; what they do on the other data sets is what to expect of them. Hits:"
        " share of the clips with such a voice that are called so; false alarms: of those without; 95 % by Wilson.",
    )


def single_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """Clips with one voice; None where there are none."""
    rows: list[list[Cell]] = [
        [
            one.name,
            s.clips,
            ranged(s.eer, s.eer_range),
            ranged(s.min_dcf, s.min_dcf_range),
            ranged(s.cllr, s.cllr_range),
        ]
        for one in evaluations
        if (s := one.single)
    ]
    if not rows:
        return None
    return Table(
        "One voice: real or fake?",
        ["data set", "clips", "EER", "minDCF", "Cllr, bits"],
        rows,
        "As the ASVspoof challenges measure it: minDCF with a spoof in 20 and false acceptances ten times as dear as"
        " misses, Cllr of the probabilities without the prior of calibrate. 1 is no better than a constant answer, 0 is"
        " perfect.",
    )


def attack_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """Single voices, attack by attack; None where none are known."""
    rows: list[list[Cell]] = [
        [one.name, a.name, a.clips, ranged(a.auc, a.auc_range), ranged(a.within, a.within_range)]
        for one in evaluations
        for a in one.attacks
    ]
    if not rows:
        return None
    return Table(
        "One voice: each attack",
        ["data set", "attack", "clips", "AUC", "AUC within its languages"],
        rows,
        "Clips with one fake voice of an engine against all with one real voice, and against those of its languages."
        " The intervals draw whole voices, people and voices of engines, not clips: where there are few of them they"
        " are wide, and where an engine has one voice they do not know what another would do.",
    )


def slice_parts(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[tuple[Panel, Table]]]]:
    """Data set -> a figure and a table for each column that splits it; without any, it is left out."""
    return [
        (e.name, [(_slice_panel(e.name, table), _slice_cells(table)) for table in e.slices])
        for e in evaluations
        if e.slices
    ]


def _slice_panel(name: str, table: SliceTable) -> Panel:
    drawn = [s for s in table.rows if math.isfinite(s.fake_auc) or math.isfinite(s.real_auc)]
    alt = f"AUC by {TITLES.get(table.column, table.column)} on {name}, with 95 % intervals: " + "; ".join(
        f"{s.name} fake {number(s.fake_auc)}, real {number(s.real_auc)}" for s in drawn
    )
    return f"AUC by {TITLES.get(table.column, table.column)}", Markup(groups_figure(drawn, alt))


def _slice_cells(table: SliceTable) -> Table:
    scored, name = any(math.isfinite(s.score) for s in table.rows), TITLES.get(table.column, table.column)
    rows: list[list[Cell]] = []
    for s in table.rows:
        rows.append([s.name, s.clips, *([ranged(s.score, s.score_range)] if scored else [])])
        rows[-1] += [ranged(s.brier, s.brier_range), ranged(s.fake_auc, s.fake_range), ranged(s.real_auc, s.real_range)]
        rows[-1] += [ranged(s.fake_eer, s.fake_eer_range), ranged(s.real_eer, s.real_eer_range), s.p_fake, s.p_real]
    columns = ["Brier", "AUC fake", "AUC real", "EER fake", "EER real", "p_fake", "p_real"]
    note = f"Brier and p: means of these clips; AUC and EER against {table.against}; 95 % by bootstrap over clips."
    return Table(
        f"By {name}",
        [name, "clips", *(["score"] if scored else []), *columns],
        rows,
        note + (" The score is the official one of these clips alone." if scored else ""),
    )


def training_panels(training: Training) -> list[Panel]:
    """Loss, and score with AUC, of each model by epoch."""
    return [
        (f"{model}: {what}", Markup(training_figure(epochs, lines, f"{what} of {model} by epoch")))
        for model, epochs in training.items()
        if epochs
        for what, lines in (("loss", LOSSES), ("score and AUC", SCORES))
    ]


def curve_panels(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[Panel]]]:
    """Data set -> ROC and DET of both columns, then the reliability of each."""
    groups = []
    for e in evaluations:
        panels = []
        if e.rocs:
            areas = ", ".join(f"{curve.column} AUC {curve.auc:.3f}" for curve in e.rocs)
            panels.append(("ROC", Markup(roc_figure(e.rocs, f"ROC on {e.name}: {areas}"))))
            rates = ", ".join(f"{c} {number(v)}" for c, v in (("fake", e.score.fake_eer), ("real", e.score.real_eer)))
            panels.append(("DET", Markup(det_figure(e.rocs, f"DET on {e.name}: equal error rates {rates}"))))
        before = {curve.column: curve for curve in e.before}
        for curve in e.after:
            alt = f"Reliability of p_{curve.column} on {e.name}: share of positives against mean score"
            svg = reliability_figure(before.get(curve.column), curve, alt)
            panels.append((f"Reliability, {curve.column}", Markup(svg)))
        if panels:
            groups.append((e.name, panels))
    return groups


def clip_groups(clips: Sequence[ShownClip]) -> list[tuple[str, list[tuple[str, list[ShownClip]]]]]:
    """Data set -> its worst mistakes, then its most doubtful clips, in the order given."""
    names = dict.fromkeys(clip.picked.data for clip in clips)
    found = []
    for name in names:
        mine = [clip for clip in clips if clip.picked.data == name]
        kinds = [(TITLES_OF_CLIPS[why], [clip for clip in mine if clip.picked.why == why]) for why in TITLES_OF_CLIPS]
        found.append((name, [(title, some) for title, some in kinds if some]))
    return found
