import pytest

from app.errors import UserError
from app.scoring.submission import check_submission, write_submission

SAMPLE = "id,fake,real\nTEST_0,0,0\nTEST_1,0,0\nTEST_2,0,0\n"
GOOD = "id,fake,real\nTEST_0,0.25,1\nTEST_1,0,1e-3\nTEST_2,1,0.5\n"


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample_submission.csv"
    path.write_text(SAMPLE)
    return path


def test_a_good_submission_passes(tmp_path, sample):
    path = tmp_path / "submission.csv"
    for text in (GOOD, GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD + "\n"):
        path.write_text(text, encoding="utf-8", newline="")
        check_submission(path, sample)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("fake,real", "real,fake"), "line 1: columns id,real,fake"),
        (GOOD.replace("id,fake", "ID,fake"), "line 1: columns ID"),
        (GOOD.replace("0.25", "nan"), "line 2, column fake: 'nan' is not a finite number"),
        (GOOD.replace("0.25", "inf"), "line 2, column fake: 'inf'"),
        (GOOD.replace("1e-3", "high"), "line 3, column real: 'high'"),
        (GOOD.replace("1e-3", ""), "line 3, column real: ''"),
        (GOOD.replace("1e-3", "0_1"), "line 3, column real: '0_1'"),
        (GOOD.replace("2,1,", "2,1.01,"), "line 4, column fake: 1.01 lies outside [0, 1]"),
        (GOOD.replace("2,1,", "2,-0.1,"), "line 4, column fake: -0.1 lies outside [0, 1]"),
        (GOOD.replace("TEST_1,0,1e-3\n", ""), "1 missing: TEST_1"),
        (GOOD.replace("TEST_1", "TEST_9"), "line 3, column id: 'TEST_9' is not in the sample"),
        (GOOD.replace("TEST_1", "TEST_0"), "line 3, column id: 'TEST_0' was already on line 2"),
        (GOOD.replace("TEST_1", ""), "line 3, column id: empty"),
        (GOOD + "TEST_2,1,1\n", "line 5, column id: 'TEST_2' was already on line 4"),
        ("id,fake,real\nTEST_1,0,0\nTEST_0,0,0\nTEST_2,0,0\n", "line 2, column id: 'TEST_1' where the sample has"),
        (GOOD.replace(",0.5", ""), "line 4: 2 cells, not 3"),
        ("id,fake,real\n", "3 missing: TEST_0, TEST_1, TEST_2"),
        ("", "line 1: columns none, but"),
    ],
)
def test_each_mistake_is_named_with_file_line_and_fix(tmp_path, sample, text, says):
    path = tmp_path / "submission.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        check_submission(path, sample)
    assert str(path) in error.value.what
    assert says in error.value.what
    assert error.value.fix


def test_no_file_and_no_text_are_user_errors(tmp_path, sample):
    with pytest.raises(UserError, match="No such file"):
        check_submission(tmp_path / "none.csv", sample)
    (tmp_path / "bytes.csv").write_bytes(b"id,fake,real\n\xff\xfe")
    with pytest.raises(UserError, match="CSV"):
        check_submission(tmp_path / "bytes.csv", sample)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,fake\nTEST_0,0\n", "columns id,fake"),
        ("id,fake,real\n", "no rows"),
        ("id,fake,real\nA,0,0\nA,0,0\n", "line 3"),
        ("id,fake,real\n,0,0\n", "line 2"),
    ],
)
def test_a_broken_sample_is_named(tmp_path, text, says):
    sample = tmp_path / "sample.csv"
    sample.write_text(text)
    with pytest.raises(UserError, match="sample") as error:
        write_submission(tmp_path / "submission.csv", sample, {"A": (0, 0)})
    assert says in error.value.what
    assert list(tmp_path.iterdir()) == [sample]


def test_many_mistakes_are_counted(tmp_path, sample):
    sample.write_text("id,fake,real\n" + "".join(f"{i},0,0\n" for i in range(20)))
    path = tmp_path / "submission.csv"
    path.write_text("id,fake,real\n" + "".join(f"{i},2,0\n" for i in range(20)))
    with pytest.raises(UserError, match="and 15 more"):
        check_submission(path, sample)


def test_rows_come_in_the_order_of_the_sample(tmp_path, sample):
    sample.write_text("\ufeff" + SAMPLE.replace("\n", "\r\n"), encoding="utf-8", newline="")
    path = tmp_path / "submission.csv"
    write_submission(path, sample, {"TEST_2": (0.1, 0.9), "TEST_0": (1 / 3, 0), "TEST_1": (0.5, 1)})
    assert path.read_bytes() == (b"id,fake,real\nTEST_0,0.3333333333333333,0.0\nTEST_1,0.5,1.0\nTEST_2,0.1,0.9\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sample_submission.csv", "submission.csv"]


def test_columns_go_by_name_also_where_the_sample_swaps_them(tmp_path, sample):
    sample.write_text("id,real,fake\nA,0,0\n")
    write_submission(tmp_path / "submission.csv", sample, {"A": (0.25, 0.75)})
    assert (tmp_path / "submission.csv").read_text() == "id,real,fake\nA,0.75,0.25\n"


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({"TEST_0": (0, 0)}, "2 ids in the sample have no score .*: TEST_1, TEST_2"),
        ({f"TEST_{i}": (0, 0) for i in range(8)}, "5 ids with a score are not in .*: TEST_3, TEST_4, TEST_5, ..."),
        (
            {"TEST_0": (0, 0), "TEST_1": (float("nan"), 0), "TEST_2": (0, 0)},
            "submission.csv: line 3, column fake: 'nan'",
        ),
    ],
)
def test_a_refused_submission_leaves_the_old_one(tmp_path, sample, scores, says):
    path = tmp_path / "submission.csv"
    path.write_text("the old one")
    with pytest.raises(UserError, match=says):
        write_submission(path, sample, scores)
    assert path.read_text() == "the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sample_submission.csv", "submission.csv"]
