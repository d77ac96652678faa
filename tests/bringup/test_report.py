
import av
import numpy as np
import pytest
from prophrl_bringup.report.motion_plot import draw_motion
from prophrl_bringup.report.page import text_table, trial_row, write_page
from prophrl_bringup.report.session_report import session_figures
from prophrl_bringup.report.trial import Trial
from prophrl_core.episode import EpisodeMeta
from prophrl_core.mp4 import write_mp4


def make_trial(folder, number, outcome, lag_m=0.002):
    t = np.arange(0.0, 5.0, 0.02)
    commanded = np.stack([0.5 + 0.01 * t, 0.0 * t, 0.3 - 0.02 * t], 1)
    meta = EpisodeMeta(
        f"e{number}", "grasp_bottle", "grasp", "sim", "ur30", "toy@1", 7, number, 100.0, 105.0, outcome, "<b>why</b>"
    )
    return Trial(
        folder, meta, t, commanded, np.ones_like(t), t, commanded + [0.0, lag_m, 0.0], t, np.ones_like(t),
        np.array([0.0, 0.8]), np.array([80.0, 120.0]), np.array([2.0, 2.1]), ("workspace", "workspace"),
    )  # fmt: skip


def test_tracking_error_is_the_distance_to_the_command(tmp_path):
    np.testing.assert_allclose(make_trial(tmp_path, 0, "success").tracking_error_mm(), 2.0, atol=1e-9)


def test_row_and_table_say_what_happened(tmp_path):
    row = trial_row(make_trial(tmp_path, 2, "failure"))
    assert row["trial"] == "3" and row["outcome"] == "failure" and row["duration [s]"] == "5.0"
    assert row["chunk latency p50 / max [ms]"] == "100 / 120" and row["envelope events"] == "2 workspace"
    lines = text_table([row, row]).splitlines()
    assert len(lines) == 4 and lines[0].startswith("trial") and "failure" in lines[2]


def test_figures_carry_the_interval(tmp_path):
    trials = [make_trial(tmp_path, i, o) for i, o in enumerate(["success", "failure", "success", "fault"])]
    figures = {f.name: f for f in session_figures(trials, seed=7)}
    success = figures["demo.success"]
    assert success.value == 0.5 and success.n == 4 and success.low < 0.5 < success.high
    assert figures["demo.chunk_latency.p50"].value == 100.0 and figures["demo.chunk_latency.p50"].n == 8
    assert figures["demo.envelope_events"].value == 8


def test_page_escapes_what_others_wrote_and_links_only_local_files(tmp_path):
    trial = make_trial(tmp_path, 0, "success")
    page = tmp_path / "report.html"
    write_page(page, "a <title>", {"policy": "x"}, [trial], {"e0": {"plot": "media/e0.png", "video": "media/e0.mp4"}})
    text = page.read_text()
    assert "&lt;b&gt;why&lt;/b&gt;" in text and "<b>why</b>" not in text and "a &lt;title&gt;" in text
    assert 'src="media/e0.mp4"' in text and "http" not in text


def test_plot_is_not_blank(tmp_path):
    import matplotlib.image

    draw_motion(tmp_path / "plot.png", make_trial(tmp_path, 0, "success"))
    pixels = matplotlib.image.imread(tmp_path / "plot.png")[..., :3]
    assert pixels.std() > 0.05


def test_video_keeps_pictures_and_times(tmp_path):
    def frames():
        for i in range(40):
            image = np.zeros((48, 64, 3), np.uint8)
            image[:, :, 0] = 200 if i < 20 else 20
            yield 1000.0 + 0.1 * i, image

    path = tmp_path / "trial.mp4"
    assert write_mp4(path, frames(), every=2) == 20
    with av.open(str(path)) as container:
        decoded = [(float(f.time), f.to_ndarray(format="rgb24")[..., 0].mean()) for f in container.decode(video=0)]
    assert len(decoded) == 20
    assert decoded[0][1] > 150 and decoded[-1][1] < 60
    assert decoded[-1][0] - decoded[0][0] == pytest.approx(3.8, abs=0.05)


def test_no_frames_leave_no_video(tmp_path):
    assert write_mp4(tmp_path / "none.mp4", iter(())) == 0
    assert not (tmp_path / "none.mp4").exists()


def test_table_of_figures(tmp_path, capsys):
    from prophrl_bringup.cli import dispatch
    from prophrl_core.errors import UserError
    from prophrl_core.figures import Figure, write_figures

    write_figures(tmp_path / "f.json", [Figure("a.b", 1.23456, "ms", 9, 1.0, 2.0, 3, {"name": "plain", "value": 2.5})])
    assert dispatch(["bench", "table", str(tmp_path / "f.json")]) == 0
    assert "| `a.b` | 1.235 | ms | 1 to 2 | 9 | 3 | plain: 2.5 |" in capsys.readouterr().out
    (tmp_path / "g.json").write_text("[]")
    with pytest.raises(UserError, match="expected a file with"):
        dispatch(["bench", "table", str(tmp_path / "g.json")])
