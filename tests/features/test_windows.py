from app.features.windows import by_recording


def test_a_recording_gets_the_highest_of_its_windows_for_each_voice():
    values = [("a", 0.1, 0.9), ("b", 0.0, 0.0), ("a", 0.7, 0.2), ("a", 0.3, 0.95), ("c", 1.0, 0.5)]
    rows = [{"recording": name, "p_fake": fake, "p_real": real} for name, fake, real in values]
    assert by_recording(rows) == {"a": (0.7, 0.95), "b": (0.0, 0.0), "c": (1.0, 0.5)}
    assert list(by_recording(rows)) == ["a", "b", "c"] and by_recording([]) == {}
