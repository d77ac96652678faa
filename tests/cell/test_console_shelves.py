"""What the console finds on disk: episodes, their pictures and videos, policy bundles; and what it refuses."""

import json
import time

import av
import cv2
import numpy as np
import pytest
from prophrl_cell.console.bundle_shelf import bundle_folder, bundles
from prophrl_cell.console.camera_feed import PERIOD_S, CameraFeed
from prophrl_cell.console.episode_shelf import EpisodeShelf
from prophrl_cell.image_cdr import image_message
from prophrl_cell.recorder.episode_recorder import EpisodeRecorder
from prophrl_cell.recorder.topics import RecordedTopic
from prophrl_core.cell import RecorderSpec
from prophrl_core.episode import EpisodeMeta
from prophrl_core.errors import UserError

COLOUR = "/camera/front/color/image_raw"
FIRST, SECOND = "20261121-034500-grasp_bottle-000", "20261121-034600-grasp_bottle-001"


def record_episode(root, name, frames=15, outcome="success"):
    """An episode that brightens, written by the recorder itself."""
    spec = RecorderSpec(min_free_bytes=0)
    topics = (RecordedTopic(COLOUR, "sensor_msgs/msg/Image", depth=30, storage="jpeg"),)
    recorder = EpisodeRecorder(root, topics, spec)
    meta = EpisodeMeta(name, "grasp_bottle", "grasp", "sim", "ur30", "sft@0123", 7, 0, time.time())
    recorder.begin(meta)
    for i in range(frames):
        now_ns = int((meta.started + i / 30) * 1e9)
        pixels = np.full((120, 160, 3), (10 * i, 40, 200), np.uint8)
        recorder.put(COLOUR, now_ns, image_message(now_ns, "camera_front", "rgb8", pixels))
    recorder.end(meta.started + frames / 30, outcome, "held", "ada")
    recorder.close(10)
    return root / name


@pytest.fixture
def shelf(tmp_path):
    root = tmp_path / "run" / "episodes"
    root.mkdir(parents=True)
    record_episode(root, FIRST)
    return EpisodeShelf(root, tmp_path / "run" / "console", ["front"])


def test_episodes_are_listed_newest_first_and_broken_ones_say_why(shelf, tmp_path):
    root = tmp_path / "run" / "episodes"
    broken = root / SECOND
    broken.mkdir()
    (broken / "episode.json").write_text("{")
    (root / f"{SECOND}.partial").mkdir()
    rows = shelf.rows()
    assert [row.episode_id for row in rows] == [SECOND, FIRST]
    assert "episode.json" in rows[0].problem
    assert (rows[1].outcome, rows[1].operator, rows[1].problem) == ("success", "ada", "")
    assert rows[1].duration == pytest.approx(0.5)


def test_thumbnail_and_video_are_made_once_beside_the_episodes(shelf, tmp_path):
    before = sorted(p.name for p in (tmp_path / "run" / "episodes" / FIRST).iterdir())
    thumbnail = cv2.imread(str(shelf.thumbnail(FIRST)))
    assert thumbnail.shape == (120, 160, 3) and abs(int(thumbnail[50, 50, 2]) - 140) < 12, "the last picture, in colour"
    video = shelf.video(FIRST, "front")
    with av.open(str(video)) as container:
        frames = [frame.time for frame in container.decode(video=0)]
    assert len(frames) == 8 and frames[-1] == pytest.approx(14 / 30, abs=0.01)
    assert sorted(p.name for p in video.parent.iterdir()) == ["front.mp4", "thumbnail.jpg"]
    assert sorted(p.name for p in (tmp_path / "run" / "episodes" / FIRST).iterdir()) == before
    made = video.stat().st_mtime_ns
    assert shelf.video(FIRST, "front").stat().st_mtime_ns == made


@pytest.mark.parametrize("name", ["..", ".", "", "../episodes/" + FIRST, "/etc", FIRST + "/", "a" * 200, "link"])
def test_names_that_are_not_episodes_are_refused(shelf, tmp_path, name):
    (tmp_path / "run" / "episodes" / "link").symlink_to(tmp_path / "run" / "episodes" / FIRST)
    with pytest.raises(UserError, match="expected one of episodes"):
        shelf.thumbnail(name)
    with pytest.raises(UserError, match="expected a camera"):
        shelf.video(FIRST, "../front")


def test_bundles_have_names_versions_and_no_way_out(tmp_path):
    for name, text in (("sft", json.dumps({"name": "grasp_sft"})), ("empty", "{}"), ("bad", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    assert [entry.name for entry in bundles(tmp_path)] == ["sft"]
    assert bundles(tmp_path)[0].version.startswith("grasp_sft@") and bundles(tmp_path / "none") == []
    assert bundle_folder(tmp_path, "sft") == (tmp_path / "sft").resolve()
    for name in ("..", "../" + tmp_path.name + "/sft", "/etc", "", "none"):
        with pytest.raises(UserError, match="expected a bundle"):
            bundle_folder(tmp_path, name)


def test_pictures_are_encoded_only_when_asked_and_not_too_often():
    taken = []

    def take():
        taken.append(1)
        return image_message(0, "c", "rgb8", np.full((48, 64, 3), (200, 30, 10), np.uint8)) if len(taken) < 3 else None

    feed = CameraFeed(take)
    assert not taken
    jpeg, _ = feed.picture()
    assert feed.picture()[0] is jpeg and len(taken) == 1, "a second viewer gets the same picture"
    b, g, r = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[20, 20]
    assert r > 180 and b < 40
    time.sleep(PERIOD_S)
    assert feed.picture()[0] is not jpeg
    time.sleep(PERIOD_S)
    assert feed.picture()[1] > 0.05, "no new picture: the old one, with its age"
