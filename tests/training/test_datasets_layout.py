"""A converted dataset against the published LeRobot v3.0 layout, read with pyarrow, json and PyAV alone."""

import json
import math

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_episodes import HEIGHT, WIDTH, Recipe, make_episode
from prophrl_training.datasets.convert import convert
from prophrl_training.datasets.metadata_writer import DatasetSpec
from prophrl_training.datasets.staging import ConversionRequest

KEYS = {
    "codebase_version", "robot_type", "total_episodes", "total_frames", "total_tasks", "chunks_size",
    "data_files_size_in_mb", "video_files_size_in_mb", "fps", "splits", "data_path", "video_path", "features",
}  # fmt: skip
INDEX_FEATURES = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64",
                  "task_index": "int64"}  # fmt: skip
STATISTICS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
VIDEOS = ("observation.images.front", "observation.images.wrist")


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    root = tmp_path_factory.mktemp("layout-in")
    for i in range(3):
        make_episode(root, f"ep-{i}", Recipe(seed=i, seconds=0.6 + 0.2 * i, cameras=("front", "wrist")))
    return root


@pytest.fixture(scope="module", params=["one file", "many files"])
def dataset(request, episodes, tmp_path_factory):
    """A folder with a dataset of three episodes; with tiny limits every episode gets files of its own."""
    root = tmp_path_factory.mktemp("layout")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many files":
            patch.setattr(DatasetSpec, "__init__", _tiny(DatasetSpec.__init__))
        convert(ConversionRequest((episodes,), root / "out"), lambda *_: None)
    return root / "out", 1 if request.param == "one file" else 3


def _tiny(plain):
    return lambda self, *args, **options: plain(self, *args, **options | {"video_mb": 0, "data_mb": 0})


def test_info_describes_every_file(dataset):
    folder, files = dataset
    info = json.loads((folder / "meta/info.json").read_text())
    assert set(info) > KEYS and info["codebase_version"] == "v3.0"
    assert isinstance(info["fps"], int) and info["robot_type"] == "ur30"
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    assert info["splits"] == {"train": "0:3"}
    for name, dtype in INDEX_FEATURES.items():
        assert info["features"][name] == {"dtype": dtype, "shape": [1], "names": None}
    for key in VIDEOS:
        feature = info["features"][key]
        assert (feature["dtype"], feature["shape"]) == ("video", [HEIGHT, WIDTH, 3])
        assert feature["names"] == ["height", "width", "channels"]
        assert (feature["info"]["video.height"], feature["info"]["video.fps"]) == (HEIGHT, info["fps"])
    expected = {"meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"}
    expected |= {info["data_path"].format(chunk_index=0, file_index=i) for i in range(files)}
    expected |= {
        info["video_path"].format(video_key=key, chunk_index=0, file_index=i) for i in range(files) for key in VIDEOS
    }
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == expected


def test_rows_are_numbered_through_and_typed_as_described(dataset):
    folder, _ = dataset
    info = json.loads((folder / "meta/info.json").read_text())
    stored = {n: f for n, f in info["features"].items() if f["dtype"] != "video"}
    tables = [pq.read_table(path) for path in sorted((folder / "data").glob("*/*.parquet"))]
    table = pa.concat_tables(tables)
    assert table.schema.names == list(stored) and table.num_rows == info["total_frames"]
    for name, feature in stored.items():
        scalar = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}[feature["dtype"]]
        wanted = scalar if feature["shape"] == [1] else pa.list_(scalar, feature["shape"][0])
        assert table.schema.field(name).type == wanted and table[name].null_count == 0
        assert feature["names"] is None or len(feature["names"]) == feature["shape"][0]
    assert table["index"].to_pylist() == list(range(info["total_frames"]))
    np.testing.assert_array_equal(
        table["timestamp"].to_numpy(), (table["frame_index"].to_numpy() / info["fps"]).astype(np.float32)
    )


def test_episodes_say_where_their_rows_and_frames_are(dataset):
    folder, _ = dataset
    info = json.loads((folder / "meta/info.json").read_text())
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [e["episode_index"] for e in episodes] == [0, 1, 2]
    start = 0
    for e in episodes:
        assert (e["dataset_from_index"], e["dataset_to_index"]) == (start, start + e["length"])
        start += e["length"]
        path = folder / info["data_path"].format(chunk_index=e["data/chunk_index"], file_index=e["data/file_index"])
        rows = pq.read_table(path, filters=[("episode_index", "=", e["episode_index"])])
        assert rows["frame_index"].to_pylist() == list(range(e["length"]))
        assert (e["meta/episodes/chunk_index"], e["meta/episodes/file_index"]) == (0, 0)
        assert (e["episode_id"], e["outcome"], e["operator"]) == (f"ep-{e['seed']}", "success", "ada")
        for key in VIDEOS:
            begin, end = e[f"videos/{key}/from_timestamp"], e[f"videos/{key}/to_timestamp"]
            assert end - begin == pytest.approx(e["length"] / info["fps"])
            place = {"chunk_index": e[f"videos/{key}/chunk_index"], "file_index": e[f"videos/{key}/file_index"]}
            with av.open(str(folder / info["video_path"].format(video_key=key, **place))) as container:
                shown = [frame.time for frame in container.decode(video=0)]
            own = [t for t in shown if begin - 1e-6 <= t < end - 1e-6]
            np.testing.assert_allclose(own, begin + np.arange(e["length"]) / info["fps"], atol=1e-6)
    assert start == info["total_frames"]


def test_tasks_are_a_pandas_index(dataset):
    folder, _ = dataset
    table = pq.read_table(folder / "meta/tasks.parquet")
    pandas = json.loads(table.schema.metadata[b"pandas"])
    assert pandas["index_columns"] == ["__index_level_0__"]
    assert table.to_pydict() == {"task_index": [0], "__index_level_0__": ["grasp the bottle and lift it up"]}


def test_statistics_are_finite_and_shaped_like_their_feature(dataset):
    folder, _ = dataset
    info = json.loads((folder / "meta/info.json").read_text())
    total = json.loads((folder / "meta/stats.json").read_text())
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert set(total) == set(info["features"])
    for name, feature in info["features"].items():
        shape = (3, 1, 1) if feature["dtype"] == "video" else tuple(feature["shape"])
        for entry in [total[name], *({s: e[f"stats/{name}/{s}"] for s in STATISTICS} for e in episodes)]:
            assert set(entry) == STATISTICS
            for statistic, values in entry.items():
                assert np.shape(values) == ((1,) if statistic == "count" else shape)
                assert all(math.isfinite(v) for v in np.ravel(values))
    table = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data").glob("*/*.parquet")))
    action = np.stack(table["action"].to_numpy(zero_copy_only=False))
    np.testing.assert_allclose(total["action"]["mean"], action.mean(0), atol=1e-6)
    np.testing.assert_allclose(total["action"]["std"], action.std(0), atol=1e-6)
    np.testing.assert_allclose(total["action"]["max"], action.max(0), atol=1e-6)
