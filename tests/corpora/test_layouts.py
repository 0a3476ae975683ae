"""Published corpora are read as they unpack; who has none of them learns what was seen and what is known."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import miniatures
import pytest

from app.config import TableConfig
from app.corpora.layouts import LAYOUTS, layout_of
from app.errors import UserError

REAL, FAKE = (0, 1), (1, 0)


def rows_of(folder, name="auto", **table):
    layout = layout_of(folder, name, "prepare.adapter")
    corpus = layout.read(folder, TableConfig(**table))
    assert all((folder / row["path"]).is_file() for row in corpus.rows)
    return layout.name, {row["id"]: row for row in corpus.rows}, corpus


def label(row):
    return row["fake"], row["real"]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (miniatures.asvspoof2019_la, "asvspoof2019_la"),
        (miniatures.asvspoof2021_la, "asvspoof2021_la"),
        (miniatures.asvspoof2021_df, "asvspoof2021_df"),
        (miniatures.asvspoof5, "asvspoof5"),
        (miniatures.in_the_wild, "in_the_wild"),
        (miniatures.wavefake, "wavefake"),
        (miniatures.plain, "folder"),
    ],
)
def test_a_published_layout_is_found_by_itself(tmp_path, make, name):
    found, rows, _ = rows_of(make(tmp_path))
    assert found == name and rows
    assert all(row["sources"] == [row["id"]] and "/" not in row["id"] for row in rows.values())


def test_every_layout_names_its_source_its_labels_and_what_it_holds():
    assert set(LAYOUTS) == {
        *("contest", "asvspoof2019_la", "asvspoof2021_la", "asvspoof2021_df", "asvspoof5"),
        *("in_the_wild", "wavefake", "folder", "table"),
    }
    for layout in LAYOUTS.values():
        assert layout.source and layout.holds
        assert "(0, 1)" in layout.labels and "(1, 0)" in layout.labels


def test_asvspoof_2019_la_learns_from_train_and_dev_and_tests_on_eval(tmp_path):
    _, rows, corpus = rows_of(miniatures.asvspoof2019_la(tmp_path))
    assert Counter(row["split"] for row in rows.values()) == {"train": 12 * 8, "test": 3 * 4}
    first = rows["LA_T_1000001"]
    assert label(first) == REAL and first["attack"] == "bonafide" and first["speaker"] == "LA_0079"
    assert first["path"] == "LA/ASVspoof2019_LA_train/flac/LA_T_1000001.flac"
    assert label(rows["LA_T_1000003"]) == FAKE and rows["LA_T_1000003"]["attack"] == "LA-A01"
    assert corpus.tables == [
        f"LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{part}.txt"
        for part in ("train.trn", "dev.trl", "eval.trl")
    ]
    assert rows_of(tmp_path / "LA")[1]["LA_T_1000001"]["path"] == "ASVspoof2019_LA_train/flac/LA_T_1000001.flac"


def test_a_part_of_asvspoof_2019_that_was_not_downloaded_is_told(tmp_path):
    folder = miniatures.asvspoof2019_la(tmp_path)
    (folder / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.eval.trl.txt").unlink()
    _, rows, corpus = rows_of(folder)
    assert not any(row["split"] == "test" for row in rows.values())
    assert len(corpus.notes) == 1 and "eval is left out" in corpus.notes[0]


def test_asvspoof_2021_la_takes_its_test_from_subset_eval_and_a_bonafide_attack_for_none(tmp_path):
    _, rows, _ = rows_of(miniatures.asvspoof2021_la(tmp_path))
    assert {id: row["split"] for id, row in rows.items()} == {
        "LA_E_9332881": "test", "LA_E_7294490": "test", "LA_E_1000004": "extra", "LA_E_1000005": "extra",
    }  # fmt: skip
    assert label(rows["LA_E_7294490"]) == REAL and rows["LA_E_7294490"]["codec"] == "g722"
    assert label(rows["LA_E_9332881"]) == FAKE and rows["LA_E_9332881"]["attack"] == "LA-A07"


def test_asvspoof_2021_without_keys_can_be_scored_and_not_judged(tmp_path):
    _, rows, corpus = rows_of(miniatures.asvspoof2021_la(tmp_path, keys=False))
    assert len(rows) == 4 and all(label(row) == (None, None) and row["split"] == "test" for row in rows.values())
    assert "LA-keys-full.tar.gz" in corpus.notes[0]
    (tmp_path / "ASVspoof2021_LA_eval" / "ASVspoof2021.LA.cm.eval.trl.txt").unlink()
    with pytest.raises(UserError, match="neither keys nor a list"):
        rows_of(tmp_path)


def test_asvspoof_2021_df_is_read_across_its_parts(tmp_path):
    _, rows, _ = rows_of(miniatures.asvspoof2021_df(tmp_path))
    assert {row["path"].split("/")[0] for row in rows.values()} == {
        "ASVspoof2021_DF_eval_part00",
        "ASVspoof2021_DF_eval_part01",
    }
    assert label(rows["DF_E_2000026"]) == REAL and rows["DF_E_2000026"]["attack"] == "bonafide"
    assert rows["DF_E_2000013"]["attack"] == "Task1-team20" and rows["DF_E_2000011"]["split"] == "extra"


def test_asvspoof_5_reads_its_ten_words_a_line_and_the_seed_of_a_coded_recording(tmp_path):
    _, rows, _ = rows_of(miniatures.asvspoof5(tmp_path))
    assert Counter(row["split"] for row in rows.values()) == {"train": 5, "test": 2}
    coded = rows["E_0009538969"]
    assert (coded["codec"], coded["parent"], coded["attack"]) == ("C08", "E_0000000137", "ASVspoof5-A26")
    assert label(rows["T_0000000011"]) == REAL and rows["T_0000000011"]["parent"] is None
    protocols = tmp_path / "ASVspoof5_protocols"
    protocols.mkdir()
    for path in tmp_path.glob("*.tsv"):
        path.rename(protocols / path.name)
    assert rows_of(tmp_path)[1].keys() == rows.keys()


def test_in_the_wild_knows_speakers_of_both_kinds_and_no_engine(tmp_path):
    _, rows, corpus = rows_of(miniatures.in_the_wild(tmp_path))
    assert len(rows) == 24 and {row["split"] for row in rows.values()} == {"train"}
    assert label(rows["0"]) == FAKE and rows["0"]["speaker"] == "Alec Guinness" and rows["0"]["attack"] is None
    assert label(rows["1"]) == REAL and rows["1"]["attack"] == "bonafide"
    assert corpus.tables == ["release_in_the_wild/meta.csv"]
    assert rows_of(tmp_path / "release_in_the_wild")[2].tables == ["meta.csv"]


def test_wavefake_names_engine_and_original_and_passes_its_copies_over(tmp_path):
    _, rows, corpus = rows_of(miniatures.wavefake(tmp_path))
    assert Counter(map(label, rows.values())) == {FAKE: 8, REAL: 3}
    for id, attack in (
        ("ljspeech_melgan:LJ001-0001_gen", "melgan/ljspeech"),
        ("ljspeech_hifiGAN:LJ001-0001_generated", "hifiGAN/ljspeech"),
        ("ljspeech_waveglow:LJ001-0001", "waveglow/ljspeech"),
    ):
        assert rows[id]["attack"] == attack and rows[id]["parent"] == "ljspeech:LJ001-0001"
        assert rows[id]["speaker"] == "LJSpeech" and rows[id]["language"] == "en"
    assert rows["ljspeech:LJ001-0001"]["path"] == "LJSpeech-1.1/wavs/LJ001-0001.wav"
    assert rows["jsut_parallel_wavegan:BASIC5000_0001_gen"]["parent"] == "jsut:BASIC5000_0001"
    assert rows["jsut:BASIC5000_0001"]["speaker"] == "JSUT" and rows["jsut:BASIC5000_0001"]["language"] == "ja"
    assert len(corpus.notes) == 1 and "1 recordings are passed over" in corpus.notes[0]
    assert rows_of(miniatures.wavefake(tmp_path / "fakes", real=False))[2].notes[1:] == [
        f"{tmp_path}/fakes/LJSpeech-1.1/wavs: not there, so no real voice of LJSpeech",
        f"{tmp_path}/fakes/jsut_ver1.1/basic5000/wav: not there, so no real voice of JSUT",
    ]


def test_a_plain_folder_tells_labels_speakers_and_engines_by_its_names(tmp_path):
    _, rows, corpus = rows_of(miniatures.plain(tmp_path))
    assert rows["real:a:1.wav"]["speaker"] == "a" and rows["real:a:1.wav"]["attack"] == "bonafide"
    assert rows["fake:engine-a:1.wav"]["attack"] == "engine-a" and rows["fake:engine-a:1.wav"]["speaker"] is None
    assert corpus.has_meta and "1 entries are passed over" in corpus.notes[0] and "1 .txt" in corpus.notes[0]


def test_a_folder_in_parts_keeps_its_test(tmp_path):
    for part in ("training", "validation", "testing"):
        for kind in ("real", "fake"):
            miniatures.voice(tmp_path / part / kind / f"{part}.wav")
    name, rows, corpus = rows_of(tmp_path)
    assert name == "folder" and not corpus.has_meta
    assert Counter(row["split"] for row in rows.values()) == {"train": 4, "test": 2}


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl"])
def test_a_table_of_ones_own_is_read_by_its_columns(tmp_path, name):
    import csv
    import json

    folder = miniatures.own_table(tmp_path)
    with (folder / "list.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    if name.endswith("tsv"):
        (folder / "list.csv").rename(folder / name).write_text((folder / name).read_text().replace(",", "\t"))
    elif name.endswith("jsonl"):
        (folder / "list.csv").unlink()
        text = "".join(
            json.dumps({**line, "target": int(line["target"]), "spk": line["spk"] or None}) + "\n" for line in lines
        )
        (folder / name).write_text(text)
    _, rows, corpus = rows_of(folder, "table", **miniatures.OWN_COLUMNS)
    assert Counter(row["split"] for row in rows.values()) == {"train": 14, "test": 2}
    assert label(rows["r0"]) == REAL and rows["r0"]["speaker"] == "a" and rows["r0"]["attack"] == "bonafide"
    assert label(rows["s0"]) == FAKE and rows["s0"]["speaker"] is None and rows["s0"]["attack"] == "tts0"
    assert corpus.tables == [name]


def test_a_table_without_ids_takes_its_paths_for_names(tmp_path):
    folder = miniatures.own_table(tmp_path)
    _, rows, _ = rows_of(folder, "table", **{**miniatures.OWN_COLUMNS, "id": None})
    assert "wav:r0" in rows


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"path": "file"}, "list.csv:1: no column for prepare.table.path ('file')"),
        ({"real": ("yes",)}, "list.csv:2: target: unknown value '1'"),
        ({"attack": "fold"}, "list.csv:2: attack 'train' of a real voice"),
        ({"file": "../list.csv"}, "prepare.table.file: path '../list.csv' leaves the corpus folder"),
        ({"file": "no.csv"}, "no.csv: no such file"),
    ],
)
def test_a_column_map_that_does_not_fit_is_told_with_file_and_line(tmp_path, table, said):
    folder = miniatures.own_table(tmp_path / "corpus")
    with pytest.raises(UserError) as caught:
        rows_of(folder, "table", **{**miniatures.OWN_COLUMNS, **table})
    assert said in str(caught.value) and caught.value.fix


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object, but [1]"),
        ('{"path": "a.wav"}', "no 'label' (it has: path)"),
        ('{"path": ["a.wav"], "label": "real"}', "'path' holds list"),
        ('{"path": "../a.wav", "label": "real"}', "leaves the corpus folder"),
        ('{"path": "=cmd().wav", "label": "real"}', "is a formula"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_a_json_line_that_is_none_is_told_with_its_number(tmp_path, line, said):
    (tmp_path / "list.jsonl").write_text(f'{{"path": "b.wav", "label": "fake"}}\n\n{line}\n')
    with pytest.raises(UserError) as caught:
        layout_of(tmp_path, "table", "").read(tmp_path, TableConfig())
    assert str(caught.value).startswith(f"{tmp_path}/list.jsonl:3: ") and said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("LA_0079 LA_T_9 - - bonafide extra", "6 words, 5 are expected"),
        ("LA_0079 LA_T_9 -", "3 words, 5 are expected"),
        ("LA_0079 LA_T_9 - A01 genuine", "key: unknown value 'genuine'"),
        ("LA_0079 LA_T_9 - A01 bonafide", "attack 'A01' of a recording with key 'bonafide'"),
        ("LA_0079 LA_T_9 - - spoof", "attack '-' of a recording with key 'spoof'"),
        ("LA_0079 ../../x - - bonafide", "id '../../x' is a path"),
        ("LA_0079 LA_T_1000001 - - bonafide", "stands on line 1 already"),
        ("LA_0079 =cmd() - - bonafide", "is a formula"),
    ],
)
def test_a_line_that_is_no_line_of_a_protocol_is_told_with_its_number(tmp_path, line, said):
    folder = miniatures.asvspoof2019_la(tmp_path)
    table = folder / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, line]) + "\n")
    with pytest.raises(UserError) as caught:
        rows_of(folder)
    assert str(caught.value).startswith(f"{table}:{len(lines) + 1}: ") and said in str(caught.value)


def test_a_link_that_leads_out_of_a_corpus_is_refused_in_every_layout(tmp_path):
    outside = miniatures.voice(tmp_path / "outside.flac")
    corpus = miniatures.asvspoof2019_la(tmp_path / "la")
    inside = corpus / "LA/ASVspoof2019_LA_dev/flac"
    victim = next(inside.iterdir())
    victim.unlink()
    victim.symlink_to(outside)
    with pytest.raises(UserError, match=r"dev.trl.txt:\d+: path .* leaves the corpus folder"):
        rows_of(corpus)
    corpus = miniatures.plain(tmp_path / "plain")
    (corpus / "fake" / "more").symlink_to(tmp_path / "la")
    with pytest.raises(UserError, match="path 'fake/more' leaves the corpus folder"):
        rows_of(corpus)


def test_a_folder_that_fits_none_tells_what_it_saw_and_what_is_known(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "labels.csv").write_text("filename;target\nx.wav;1\n")
    with pytest.raises(UserError) as caught:
        layout_of(tmp_path, "auto", "prepare.adapter")
    said = str(caught.value)
    assert "(found: clips/, labels.csv with 'filename;target')" in said
    assert all(f"    {name}: {layout.holds}" in said for name, layout in LAYOUTS.items())
    with pytest.raises(UserError, match=r"\(found: nothing\)"):
        layout_of(tmp_path / "clips", "auto", "prepare.adapter")
    with pytest.raises(UserError, match="no such folder"):
        layout_of(tmp_path / "nowhere", "auto", "prepare.adapter")


def test_a_corpus_one_folder_further_down_is_pointed_at(tmp_path):
    miniatures.in_the_wild(tmp_path / "downloads" / "wild")
    with pytest.raises(UserError, match=f"DATA={tmp_path}/downloads/wild is in the layout in_the_wild; or "):
        layout_of(tmp_path / "downloads", "auto", "prepare.adapter")


def test_two_layouts_in_one_folder_are_asked_about(tmp_path):
    miniatures.asvspoof2021_la(miniatures.asvspoof2019_la(tmp_path))
    with pytest.raises(UserError, match=r"fits several layouts: asvspoof2019_la, asvspoof2021_la\n  fix: say which"):
        layout_of(tmp_path, "auto", "prepare.adapter")
    assert rows_of(tmp_path, "asvspoof2021_la")[0] == "asvspoof2021_la"


def test_a_layout_that_was_named_and_is_not_there_is_told(tmp_path):
    (tmp_path / "wavs").mkdir()
    with pytest.raises(UserError, match=r"not in the layout asvspoof5: .* \(found: wavs/\)"):
        layout_of(tmp_path, "asvspoof5", "prepare.adapter")


def test_the_page_on_data_lists_every_layout():
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    assert all(f"`{name}`" in page for name in LAYOUTS)


@pytest.mark.parametrize("word", ["Test", "test ", "holdout", ""])
def test_a_word_of_the_split_column_that_nobody_knows_is_not_taken_for_training(tmp_path, word):
    folder = miniatures.own_table(tmp_path)
    text = (folder / "list.csv").read_text().replace(",eval\n", f",{word}\n", 1)
    (folder / "list.csv").write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if row.endswith(f",{word}"))
    with pytest.raises(UserError, match=f"list.csv:{line}: fold: unknown value '{word}'"):
        rows_of(folder, "table", **miniatures.OWN_COLUMNS)


@pytest.mark.parametrize("nothing", ["-", "none", "NaN", "unknown", "N/A", " "])
def test_what_stands_for_nothing_in_a_table_is_not_one_speaker_or_engine(tmp_path, nothing):
    folder = miniatures.own_table(tmp_path)
    text = (
        (folder / "list.csv").read_text().replace(",1,a,-,", f",1,{nothing},-,").replace(",0,,tts0,", f",0,,{nothing},")
    )
    (folder / "list.csv").write_text(text)
    _, rows, _ = rows_of(folder, "table", **miniatures.OWN_COLUMNS)
    assert rows["r0"]["speaker"] is None and rows["s0"]["attack"] is None


@pytest.mark.parametrize("word", ["bonafide", "Bona-Fide", "real", "genuine"])
def test_a_fake_voice_by_no_engine_but_a_person_is_an_error(tmp_path, word):
    folder = miniatures.own_table(tmp_path)
    (folder / "list.csv").write_text((folder / "list.csv").read_text().replace(",tts0,", f",{word},"))
    with pytest.raises(UserError, match=f"list.csv:3: attack '{word}' of a fake voice"):
        rows_of(folder, "table", **miniatures.OWN_COLUMNS)


@pytest.mark.parametrize("place", ["LA-keys-stage-1/keys/CM", "keys/CM", "ASVspoof2021_LA_eval/keys/CM"])
def test_keys_of_the_first_stage_are_found_where_they_unpack(tmp_path, place):
    folder = miniatures.asvspoof2021_la(tmp_path)
    (table,) = folder.rglob("trial_metadata.txt")
    (folder / place).mkdir(parents=True)
    table.rename(folder / place / table.name)
    _, rows, corpus = rows_of(folder, "asvspoof2021_la")
    assert sum(row["real"] is not None for row in rows.values()) == 4 and not corpus.notes


def test_keys_without_a_track_beside_both_tracks_are_nobodys(tmp_path):
    folder = miniatures.asvspoof2021_df(miniatures.asvspoof2021_la(tmp_path))
    table = next(path for path in folder.rglob("trial_metadata.txt") if "LA" in path.parts)
    (folder / "keys" / "CM").mkdir(parents=True)
    table.rename(folder / "keys" / "CM" / table.name)
    _, rows, _ = rows_of(folder, "asvspoof2021_la")
    assert all(row["real"] is None for row in rows.values())


@pytest.mark.parametrize("change", [
    lambda text: text.replace(",", ";"), lambda text: text.replace("file,speaker,label", '"file","speaker","label"'),
    lambda text: text.replace("\n", "\r\n"),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_in_the_wilds_table_may_have_been_saved_again(tmp_path, change, encoding):
    folder = miniatures.in_the_wild(tmp_path)
    table = folder / "release_in_the_wild" / "meta.csv"
    table.write_bytes(change(table.read_text()).encode(encoding))
    name, rows, _ = rows_of(folder)
    assert name == "in_the_wild" and len(rows) == 24


def test_an_engine_that_wavefake_was_given_later_is_one_of_its_engines(tmp_path):
    folder = miniatures.wavefake(tmp_path)
    miniatures.voice(folder / "generated_audio" / "ljspeech_avocodo" / "LJ001-0001_gen.wav")
    _, rows, _ = rows_of(folder)
    assert rows["ljspeech_avocodo:LJ001-0001_gen"]["attack"] == "avocodo/ljspeech"


def test_a_plain_folder_leaves_nothing_out_in_silence(tmp_path):
    folder = miniatures.plain(tmp_path)
    miniatures.voice(folder / "fake_hifigan" / "1.wav")
    miniatures.voice(folder / "loose.wav")
    data = (folder / "loose.wav").read_bytes()
    for name in (b"\xb0\xa1.wav", b"new\nline.wav"):  # the first as Korean Windows names a file
        Path(os.fsdecode(os.fsencode(folder / "real") + b"/" + name)).write_bytes(data)
    _, rows, corpus = rows_of(folder)
    assert len(rows) == 12
    said = "\n".join(corpus.notes)
    assert "2 recordings are left out, their names are not UTF-8" in said and "convmv" in said
    assert "passed over: fake_hifigan/, loose.wav" in said


def test_a_folder_that_may_not_be_read_is_an_error(tmp_path):
    """As somebody else than root, who may read all."""
    folder = miniatures.plain(tmp_path)
    tmp_path.chmod(0o755)
    (folder / "real" / "b").chmod(0)
    code = (
        "import os, sys; from pathlib import Path; from app.config import TableConfig; "
        "from app.corpora.layouts import folder; os.seteuid(65534)\n"
        "try: folder.LAYOUT.read(Path(sys.argv[1]), TableConfig())\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    for above in tmp_path.parents[:2]:
        above.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"UserError {folder}/real/b: cannot be read (Permission denied)")


def test_half_a_character_in_json_is_told(tmp_path):
    folder = miniatures.own_table(tmp_path)
    (folder / "list.csv").rename(folder / "list.jsonl").write_text(
        json.dumps({"utt": "r0", "wav": "wav/r0.wav", "target": "1", "spk": "x\ud800", "system": "-", "fold": "train"})
    )
    with pytest.raises(UserError, match="list.jsonl:1: 'spk' holds half a character"):
        rows_of(folder, "table", **miniatures.OWN_COLUMNS)


def test_columns_that_the_config_names_wrongly_are_told_together_and_no_table_is_to_be_changed(tmp_path):
    folder = miniatures.own_table(tmp_path)
    with pytest.raises(UserError) as caught:
        rows_of(folder, "table", **{**miniatures.OWN_COLUMNS, "label": "targte", "speaker": "who"})
    said = str(caught.value)
    assert (
        "no column for prepare.table.label ('targte'), prepare.table.speaker ('who'); it has: utt, wav, target" in said
    )
    assert "say in prepare.table which of them is what" in said and "rename" not in said
