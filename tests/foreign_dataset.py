"""Writes small LeRobot v2.1 datasets with given columns: what other people's look like on disk."""

import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def picture(row, height=48, width=64):
    """Bright sky above, a square that moves with the row."""
    image = np.full((height, width, 3), 100, np.uint8)
    image[:6] = 230
    at = (2 * row) % (width - 8)
    image[20:28, at : at + 8] = (230, 60, 20)
    return image


def write_v21(folder, robot_type, fps, episodes, names=None, cameras=(), task="put the spoon on the towel"):
    """``episodes``: columns (T, ...) by name; ``names``: elements' names by column; pictures are stored as PNG."""
    names = names or {}
    (folder / "meta").mkdir(parents=True)
    features = {
        key: {
            "dtype": "float32",
            "shape": list(values.shape[1:]) or [1],
            "names": {"motors": list(names[key])} if key in names else None,
        }
        for key, values in episodes[0].items()
    }
    features |= {key: {"dtype": "image", "shape": [48, 64, 3], "names": ["height", "width", "rgb"]} for key in cameras}
    for key, dtype in (
        ("timestamp", "float32"),
        *((k, "int64") for k in ("frame_index", "episode_index", "index", "task_index")),
    ):
        features[key] = {"dtype": dtype, "shape": [1], "names": None}
    entries, statistics, total = [], [], 0
    for index, columns in enumerate(episodes):
        rows = len(next(iter(columns.values())))
        times = np.arange(rows, dtype=np.float32) / fps
        table = {key: [row.tolist() for row in np.asarray(values, np.float32)] for key, values in columns.items()}
        for key in cameras:
            packed = (cv2.imencode(".png", picture(row)[..., ::-1])[1].tobytes() for row in range(rows))
            table[key] = [{"bytes": data, "path": None} for data in packed]
        table |= {
            "timestamp": times, "frame_index": np.arange(rows), "episode_index": np.full(rows, index),
            "index": total + np.arange(rows), "task_index": np.zeros(rows, np.int64),
        }  # fmt: skip
        path = folder / f"data/chunk-000/episode_{index:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), path)
        entries.append({"episode_index": index, "tasks": [task], "length": rows})
        numbers = {key: np.asarray(v, float).reshape(rows, -1) for key, v in columns.items()} | {
            "timestamp": times[:, None]
        }
        stats = {
            key: {
                "mean": v.mean(0).tolist(),
                "std": v.std(0).tolist(),
                "min": v.min(0).tolist(),
                "max": v.max(0).tolist(),
                "count": [rows],
            }
            for key, v in numbers.items()
        }
        for key in columns:
            shape = columns[key].shape[1:]
            for name in ("mean", "std", "min", "max"):
                stats[key][name] = np.reshape(stats[key][name], shape or (1,)).tolist()
        statistics.append({"episode_index": index, "stats": stats})
        total += rows
    info = {
        "codebase_version": "v2.1", "robot_type": robot_type, "total_episodes": len(episodes), "total_frames": total,
        "total_tasks": 1, "total_videos": 0, "total_chunks": 1, "chunks_size": 1000, "fps": fps,
        "splits": {"train": f"0:{len(episodes)}"}, "features": features, "video_path": None,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    }  # fmt: skip
    (folder / "meta/info.json").write_text(json.dumps(info))
    (folder / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": task}) + "\n")
    (folder / "meta/episodes.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    (folder / "meta/episodes_stats.jsonl").write_text("".join(json.dumps(s) + "\n" for s in statistics))
    return folder
