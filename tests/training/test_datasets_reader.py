"""Datasets of other hands: LeRobot v2.1 and v3.0 read as they were written, and refused when they are not sound."""

import json
import math
from fractions import Fraction

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prophrl_core.errors import UserError
from prophrl_training.datasets.prefetch import prefetched
from prophrl_training.datasets.reader import open_dataset

FPS, LENGTHS, SIZE = 15, (23, 40), (32, 48)
EYE = "observation.images.eye"


def frame(episode, step):
    """(32, 48, 3): grey that names the step, and the episode in the corner."""
    picture = np.full((*SIZE, 3), 20 + 5 * step, np.uint8)
    picture[:8, :8] = 250 if episode else 0
    return picture


def table(episode, pictures=None):
    length = LENGTHS[episode]
    columns = {
        "observation.state": pa.array([[float(episode), float(i), 0.5] for i in range(length)], pa.list_(pa.float32())),
        "action": pa.array([[0.1 * i, float(episode)] for i in range(length)], pa.list_(pa.float32())),
        "done": pa.array([i == length - 1 for i in range(length)]),
        "timestamp": pa.array(np.arange(length, dtype=np.float32) / FPS),
        "frame_index": pa.array(range(length), pa.int64()),
        "episode_index": pa.array([episode] * length, pa.int64()),
        "index": pa.array(range(sum(LENGTHS[:episode]), sum(LENGTHS[:episode]) + length), pa.int64()),
        "task_index": pa.array([episode] * length, pa.int64()),
    }
    if pictures is not None:
        columns[EYE] = pa.array([{"bytes": data, "path": None} for data in pictures])
    return pa.table(columns)


def write_video(path, episode, frames=None):
    """H.264 with B-frames and a key frame in twelve, as many datasets have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10", "g": "12", "bf": "2"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for i in range(LENGTHS[episode] if frames is None else frames):
            picture = av.VideoFrame.from_ndarray(frame(episode, i), format="rgb24")
            picture.pts, picture.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def statistics(dims):
    zero = [0.0] * dims
    return {"min": zero, "max": zero, "mean": zero, "std": zero, "count": [10]}


def write_v21(folder, eye="video"):
    features = {
        "observation.state": {"dtype": "float32", "shape": [3], "names": {"motors": ["a", "b", "c"]}},
        "action": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
        "done": {"dtype": "bool", "shape": [1], "names": None},
        EYE: {"dtype": eye, "shape": [*SIZE, 3], "names": ["height", "width", "channels"]},
    }
    features |= {n: {"dtype": "int64", "shape": [1]} for n in ("frame_index", "episode_index", "index", "task_index")}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    info = {
        "codebase_version": "v2.1", "robot_type": "koch", "total_episodes": 2, "total_frames": sum(LENGTHS),
        "total_tasks": 2, "total_videos": 2, "total_chunks": 1, "chunks_size": 1000, "fps": FPS,
        "splits": {"train": "0:2"}, "features": features,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }  # fmt: skip
    (folder / "meta").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    rows = [{"episode_index": i, "tasks": [f"task {i}"], "length": n, "mood": "calm"} for i, n in enumerate(LENGTHS)]
    stats = {"observation.state": statistics(3), "action": statistics(2), "timestamp": statistics(1)}
    per_episode = [{"episode_index": i, "stats": stats} for i in range(2)]
    tasks = [{"task_index": i, "task": f"task {i}"} for i in range(2)]
    for name, lines in (("episodes", rows), ("episodes_stats", per_episode), ("tasks", tasks)):
        (folder / f"meta/{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_info(folder, info)
    for i in range(2):
        pictures = None
        if eye == "video":
            write_video(video_of(folder, i), i)
        else:
            pictures = [cv2.imencode(".png", frame(i, step)[..., ::-1])[1].tobytes() for step in range(LENGTHS[i])]
        pq.write_table(table(i, pictures), folder / f"data/chunk-000/episode_{i:06d}.parquet")
    return folder


def video_of(folder, episode):
    return folder / f"videos/chunk-000/{EYE}/episode_{episode:06d}.mp4"


def write_info(folder, info):
    (folder / "meta/info.json").write_text(json.dumps(info))


def change_info(folder, change):
    info = json.loads((folder / "meta/info.json").read_text())
    change(info)
    write_info(folder, info)


@pytest.fixture(params=["video", "image"])
def v21(request, tmp_path):
    return write_v21(tmp_path / "koch", request.param)


def test_v21_reads_as_written(v21):
    dataset = open_dataset(v21)
    assert (dataset.version, dataset.fps, dataset.robot_type, len(dataset)) == ("v2.1", 15.0, "koch", 63)
    assert dataset.tasks == ("task 0", "task 1") and dataset.task(1, 5) == "task 1"
    assert dataset.features["observation.state"].names == ("a", "b", "c")
    assert dataset.episodes[1].facts == {"mood": "calm"} and dataset.split("train") == (0, 1)
    assert dataset.stats["action"]["count"].tolist() == [20]
    rows = dataset.rows(1)
    np.testing.assert_array_equal(rows["observation.state"][:, 1], np.arange(40))
    assert rows["done"].dtype == bool and rows["done"].sum() == 1
    steps = [5, 0, 39, 5, 17, 16, 18]
    window = dataset.window(1, steps)
    np.testing.assert_allclose(window["action"][:, 0], 0.1 * np.array(steps), rtol=1e-6)
    for picture, step in zip(window[EYE], steps, strict=True):
        assert np.abs(picture.astype(int) - frame(1, step)).mean() < 2.0
    for step, picture in enumerate(dataset.frames(0, EYE)):
        assert np.abs(picture.astype(int) - frame(0, step)).mean() < 2.0
    assert step == LENGTHS[0] - 1
    rng = np.random.default_rng(0)
    small = open_dataset(v21, cache_bytes=20_000)  # nearly nothing is kept
    for _ in range(40):
        episode, step = int(rng.integers(2)), int(rng.integers(20))
        np.testing.assert_array_equal(small.window(episode, [step], [EYE])[EYE], dataset.window(episode, [step])[EYE])
    for wrong in (lambda: dataset.window(0, [23]), lambda: dataset.rows(2), lambda: dataset.window(0, [0], ["eye"])):
        with pytest.raises(UserError):
            wrong()


def test_read_ahead_comes_in_order_and_fails_where_it_must(v21):
    dataset = open_dataset(v21)
    rng = np.random.default_rng(1)
    requests = [(int(rng.integers(2)), rng.integers(0, 20, 3).tolist()) for _ in range(30)]
    for request, window in zip(requests, prefetched(dataset, requests, threads=3, ahead=4), strict=True):
        wanted = dataset.window(*request)
        assert window.keys() == wanted.keys()
        for key, values in wanted.items():
            np.testing.assert_array_equal(window[key], values)
    come = prefetched(dataset, [(0, [1]), (0, [99]), (0, [2])])
    assert next(come)[EYE].shape == (1, *SIZE, 3)
    with pytest.raises(UserError, match="asked for 99"):
        next(come)


def stats_of(folder, key, name, value):
    path = folder / "meta/episodes_stats.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["stats"][key][name] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def set_path(name, value):
    return lambda folder: change_info(folder, lambda info: info.update({name: value}))


def set_feature(key, **values):
    return lambda folder: change_info(folder, lambda info: info["features"].setdefault(key, {}).update(values))


def link_out(folder):
    target = folder.parent / "secret.parquet"
    path = folder / "data/chunk-000/episode_000001.parquet"
    path.rename(target)
    path.symlink_to(target)


def drop_rows(folder):
    path = folder / "data/chunk-000/episode_000001.parquet"
    pq.write_table(pq.read_table(path).slice(0, 30), path)


def cut(name):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def empty_action(folder):
    path = folder / "data/chunk-000/episode_000001.parquet"
    whole = pq.read_table(path)
    holes = pa.array([None] * len(whole), pa.list_(pa.float32()))
    pq.write_table(whole.set_column(whole.schema.get_field_index("action"), "action", holes), path)


UNSOUND = {
    "path up": (set_path("data_path", "../{episode_index}.parquet"), "leaves the dataset's folder"),
    "path absolute": (set_path("video_path", "/etc/{video_key}"), "leaves the dataset's folder"),
    "path attribute": (set_path("data_path", "{episode_index.__class__}"), "expected fields out of"),
    "path huge": (set_path("data_path", "data/{episode_index:99999999d}"), "expected fields out of"),
    "name up": (set_feature("../../x", dtype="video", shape=[8, 8, 3]), "expected a feature name"),
    "link out": (link_out, "leaves the dataset's folder"),
    "picture huge": (set_feature(EYE, shape=[100_000, 100_000, 3]), "expected at most"),
    "row huge": (set_feature("action", shape=[1 << 40]), "expected at most"),
    "dtype odd": (set_feature("action", dtype="object"), "expected video, image, string or a numpy dtype"),
    "version odd": (set_path("codebase_version", "v9"), "expected codebase_version"),
    "fps none": (set_path("fps", 0), "expected fps above 0"),
    "count off": (set_path("total_frames", 7), "the dataset is not whole"),
    "shape off": (set_feature("action", shape=[3]), "the mean of action has shape (2,)"),
    "statistics missing": (lambda f: (f / "meta/episodes_stats.jsonl").unlink(), "data stats"),
    "statistics NaN": (lambda f: stats_of(f, "action", "std", [0.1, math.nan]), "std of action is not finite"),
    "statistics infinite": (lambda f: stats_of(f, "action", "max", [0.1, math.inf]), "max of action is not finite"),
    "info cut": (cut("meta/info.json"), "not valid JSON"),
    "table cut": (cut("data/chunk-000/episode_000001.parquet"), "cannot be read"),
    "rows gone": (drop_rows, "expected 40 rows of episode 1, found 30"),
    "values gone": (empty_action, "expected a value in every row"),
    "video gone": (lambda f: video_of(f, 1).unlink(), "expected the file"),
    "video cut": (lambda f: write_video(video_of(f, 1), 1, frames=25), "the video ends before"),
    "video damaged": (lambda f: video_of(f, 1).write_bytes(b"ftyp" * 99), "expected an MP4 video"),
    "video other": (set_feature(EYE, shape=[64, 48, 3]), "expected 48x64 frames, got 48x32"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_is_not_sound_is_refused_in_one_line(tmp_path, name):
    folder = write_v21(tmp_path / "koch")
    damage, words = UNSOUND[name]
    damage(folder)
    with pytest.raises(UserError) as caught:
        dataset = open_dataset(folder)
        dataset.window(1, range(LENGTHS[1]))
    assert words in str(caught.value) and "\n" not in str(caught.value)
