"""prophrl data inspect on episodes of the real recorder, with one thing wrong at a time."""

import json
import shutil

import av
import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("prophrl_interfaces", reason="the workspace is not built")

import written_episode
from made_episodes import Recipe, make_episode
from prophrl_bringup.cli import dispatch
from prophrl_core.errors import UserError
from prophrl_training.datasets.convert import ConversionRequest, convert
from prophrl_training.inspection import media
from prophrl_training.inspection.film import watch
from prophrl_training.inspection.findings import clock_faults, compare, inspect
from prophrl_training.inspection.own_episodes import load, step_period
from prophrl_training.inspection.recording import Stream
from prophrl_training.inspection.summary import refusals
from written_episode import Story, write_episode


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder of five sound episodes."""
    root = tmp_path_factory.mktemp("good") / "episodes"
    for i in range(5):
        write_episode(root, f"good-{i}", Story(seed=i, source=1 if i == 4 else 0))
    return root


def look(folder):
    recording = load(folder)
    return inspect(recording, tuple(watch(name, frames()) for name, frames in recording.cameras.items()))


@pytest.fixture(scope="module")
def seen(good):
    """The same, inspected one by one."""
    return [look(folder) for folder in sorted(good.iterdir())]


def inspected(capsys, *words):
    status = dispatch(["data", "inspect", *map(str, words)])
    return status, capsys.readouterr().out


def test_sound_episodes_pass_and_the_figures_are_right(good, capsys, tmp_path):
    status, output = inspected(capsys, good, "--json", tmp_path / "f.json")
    assert status == 0 and "5 episodes, 0 refused" in output, output
    assert "teleop 100 %" in output and "policy 100 %" in output
    content = json.loads((tmp_path / "f.json").read_text())
    figures = {f["name"]: f for f in content["figures"]}
    assert figures["data.episodes"]["value"] == 5 and figures["data.outcome.success"]["value"] == 5
    assert figures["data.mismatch.rms.p50"]["value"] < 0.5, "mm"
    assert figures["data.mismatch.lag.p50"]["value"] == pytest.approx(1e3 * Story().lag, abs=11)
    assert figures["data.clock_skew.p50"]["value"] == pytest.approx(4.0, abs=0.1)
    assert figures["data.lost"]["value"] == 0
    assert [e["steps"] for e in content["episodes"]] == ["30"] * 5
    assert content["episodes"][0]["rate [Hz]"] == "10.0" and "front" in content["episodes"][0]["frames"]


another_scene = np.full((48, 64, 3), 40, np.uint8)


def back(topic, t):
    return t - 0.4 if topic == "/arm/tcp_pose" and t > 1.5 else t


def leap(topic, t):
    return t + 2.0 if topic == "/gripper/state" and t > 1.5 else t


@pytest.mark.parametrize(
    ("story", "message"),
    [
        (Story(stamp=back), "arm/tcp_pose: clock runs back by 0.380 s"),
        (Story(stamp=leap), "gripper/state: clock jumps by +2.00 s"),
        (Story(error=1.0, scale=5), "integrated actions miss the measured TCP by"),
        (Story(period=0.2, steps=15), "mixed rate: steps at 5.0 Hz, the others at 10.0 Hz"),
        (Story(camera=False), "camera front is missing"),
    ],
    ids=["back", "leap", "actions", "rate", "camera"],
)
def test_a_bad_episode_alone_is_refused(seen, tmp_path, story, message):
    *others, bad = compare([*seen, look(write_episode(tmp_path, "bad", story))])
    assert refusals(others, {}) == {}
    (why,) = refusals([bad], {})["bad"]
    assert message in why


@pytest.mark.parametrize(
    ("story", "message"),
    [
        (Story(steps=90), "duration 9.6 s, the median is 3.6 s"),
        (Story(scale=4.0, seed=1), "largest action 0.0"),
        (Story(picture=lambda t: np.zeros((48, 64, 3), np.uint8)), "camera front: dark"),
        (Story(picture=lambda t: written_episode.default_picture(min(t, 1.0))), "camera front: frozen for"),
        (
            Story(picture=lambda t: another_scene if t < 0.1 else written_episode.default_picture(t)),
            "camera front: another scene up to 0.13 s",
        ),
        (Story(picture=lambda t: np.full((48, 64, 3), 130, np.uint8)), "camera front: no contrast"),
    ],
    ids=["long", "strong", "dark", "frozen", "cut", "flat"],
)
def test_what_sticks_out_is_named_and_not_refused(seen, tmp_path, story, message):
    *others, odd = compare([*seen, look(write_episode(tmp_path, "odd", story))])
    assert odd.faults == () and any(remark.startswith(message) for remark in odd.remarks), odd.remarks
    assert not any(message in remark for item in others for remark in item.remarks)


def test_unreadable_and_unfinished_episodes_are_refused_and_the_others_read(good, tmp_path, capsys):
    root = tmp_path / "episodes"
    shutil.copytree(good, root)
    bag = root / "good-0" / "good-0.mcap"
    bag.write_bytes(bag.read_bytes()[: bag.stat().st_size // 2])
    (root / "good-1").rename(root / "good-1.partial")
    (root / "good-2" / "episode.json").write_text("{}")
    (root / "holiday").mkdir()
    status, output = inspected(capsys, root, "--html", tmp_path / "page.html")
    assert status == 1 and "6 episodes, 4 refused" in output
    for name, why in (
        ("good-0", "whole bag"),
        ("good-1.partial", "repair"),
        ("good-2", "missing"),
        ("holiday", "episode.json"),
    ):
        assert any(line.startswith(f"{name}: refused: ") and why in line for line in output.splitlines()), output
    page = (tmp_path / "page.html").read_text()
    assert "good-1.partial" in page and page.count("data:video/mp4") == 2


def test_the_page_stands_alone_and_escapes(good, tmp_path, capsys, monkeypatch):
    from prophrl_training import html_page

    root = tmp_path / "<b>name"
    shutil.copytree(good, root, ignore=lambda folder, names: [n for n in names if n in ("good-2", "good-3", "good-4")])
    status, _ = inspected(capsys, root, "--html", tmp_path / "page.html", "--show", 1)
    page = (tmp_path / "page.html").read_text()
    assert status == 0 and "http" not in page and "<b>name" not in page and "&lt;b&gt;name" in page
    assert page.count("<section>") == 1 and page.count("data:video/mp4") == 1 and page.count("data:image/jpeg") == 1
    monkeypatch.setattr(html_page, "LARGEST", 60_000)
    inspected(capsys, root, "--html", tmp_path / "small.html", "--show", 1)
    assert (tmp_path / "small.html").stat().st_size < 70_000 < len(page)


def test_the_clip_keeps_time(seen, tmp_path):
    (film,) = seen[0].films
    (tmp_path / "clip.mp4").write_bytes(media.clip(film))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert len(times) == len(film.shown) and times[-1] == pytest.approx(film.shown_t[-1] - film.shown_t[0], abs=0.02)
    assert seen[0].path > 0.05 and film.size == (64, 48)


def test_a_dataset_that_we_converted_needs_no_card(tmp_path, capsys):
    for i in range(2):
        make_episode(tmp_path / "in", f"ep-{i}", Recipe(teleop_from=1.1 if i else 99.0))
    convert(ConversionRequest((tmp_path / "in",), tmp_path / "out"), lambda *_: None)
    status, output = inspected(capsys, tmp_path / "out", "--json", tmp_path / "f.json")
    assert status == 0 and "card" not in output and "2 episodes, 0 refused" in output, output
    content = json.loads((tmp_path / "f.json").read_text())
    figures = {f["name"]: f["value"] for f in content["figures"]}
    assert figures["data.mismatch.rms.p50"] < 0.5 and figures["data.mismatch.lag.p50"] < 15
    controls = [e["control"] for e in content["episodes"]]
    assert "teleop" in controls[1] and "teleop" not in controls[0] and "policy" in controls[0]
    assert [e["outcome"] for e in content["episodes"]] == ["success"] * 2


def test_a_path_to_nothing_is_one_line():
    for path, message in (("/nowhere", "expected a folder of episodes"), ("/proc/self/fd", "expected episode folders")):
        with pytest.raises(UserError, match=message):
            dispatch(["data", "inspect", path])


def test_a_gap_is_no_clock_fault():
    t = np.arange(100) * 0.02
    t[50:] += 3.0
    assert clock_faults(Stream("camera", t, t + 0.01)) == []
    assert clock_faults(Stream("camera", t, np.arange(100) * 0.02)) != []


@pytest.mark.parametrize("period", [0.008, 0.067])
def test_a_delivery_that_came_late_is_no_clock_fault(period):
    t = np.arange(round(8.0 / period)) * period
    late = t + 0.03
    stalled = (t > 3.0) & (t < 3.7)
    late[stalled] = 3.73
    assert clock_faults(Stream("camera", t, late)) == []
    one = t + 0.03
    one[len(one) // 2] += 0.6
    assert clock_faults(Stream("camera", t, np.maximum.accumulate(one))) == []
    for leap in (0.6, -0.6):
        stamp = t + np.where(t > 5.0, leap, 0.0)
        fault = clock_faults(Stream("camera", stamp, late))
        assert len(fault) == 1 and ("jumps by +0.60" in fault[0] or "runs back by 0.5" in fault[0])


def test_presses_cut_short_do_not_change_the_rate():
    steps = [(0, 0.1), (0, 0.2), (0, 0.3), (0, 0.34), *((i, 0.3 + 0.05 * i) for i in range(2, 9))]
    sequence, ends = np.array(steps).T
    assert step_period(ends, sequence) == pytest.approx(0.1)
    assert step_period(ends[4:], sequence[4:]) == pytest.approx(0.05)
    with pytest.raises(UserError, match="too few"):
        step_period(ends[:1], sequence[:1])
