"""The MCAP file itself: read back by rosbags, cut anywhere, damaged anywhere."""

import errno
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import NonSeekingReader, SeekingReader
from mcap.records import Channel
from mcap.stream_reader import StreamReader
from prophrl_cell.recorder.mcap_scan import Damage, scan
from prophrl_cell.recorder.mcap_writer import MAGIC, McapWriter
from prophrl_cell.recorder.message_definitions import load_definition
from prophrl_core.errors import UserError
from rosbags.rosbag2.storage_mcap import McapReader

STRING = load_definition("std_msgs/msg/String")


def write_file(path, payloads, compression="zstd", chunk_bytes=4096, finish=True):
    """Messages (topic index, time, bytes) into a file of three topics."""
    writer = McapWriter(path, compression, chunk_bytes=chunk_bytes)
    channels = [writer.add_channel(f"/t{i}", STRING.type_name, STRING.text, {"k": "v"}) for i in range(3)]
    for topic, time_ns, data in payloads:
        writer.write(channels[topic], time_ns, data)
    if finish:
        writer.finish({"rosbag2": {"serialized_metadata": "x"}})
    else:
        writer.flush()
        writer.abandon()
    return writer


def some_payloads(n=500, seed=0):
    rng = np.random.default_rng(seed)
    return [(int(rng.integers(3)), 1_000 + i, rng.bytes(int(rng.integers(0, 200)))) for i in range(n)]


@pytest.mark.parametrize("compression", ["", "zstd"])
def test_rosbags_reads_every_message_and_checks_every_crc(tmp_path, compression):
    payloads = some_payloads()
    path = tmp_path / "a.mcap"
    write_file(path, payloads, compression)
    reader = McapReader(path)
    reader.open()
    read = [(c.topic, t, bytes(d)) for c, t, d in reader.messages(reader.connections, 0, 2**63)]
    assert read == [(f"/t{topic}", t, d) for topic, t, d in payloads]
    assert reader.metadata.message_count == len(payloads)
    assert {c.topic: c.msgcount for c in reader.connections} == {
        f"/t{i}": sum(p[0] == i for p in payloads) for i in range(3)
    }
    reader.close()


def test_summary_crc_covers_the_summary(tmp_path):
    path = tmp_path / "a.mcap"
    write_file(path, some_payloads())
    content = path.read_bytes()
    footer = content[-8 - 20 :]
    summary_start, crc = int.from_bytes(footer[:8], "little"), int.from_bytes(footer[16:20], "little")
    assert crc == zlib.crc32(content[summary_start : -8 - 4])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_cut_anywhere_yields_a_prefix(tmp_path, data):
    payloads = some_payloads(200)
    path = tmp_path / "whole.mcap"
    path.unlink(missing_ok=True)
    writer = write_file(path, payloads, finish=False)
    cut = data.draw(st.integers(0, writer.bytes_written))
    piece = tmp_path / "cut.mcap"
    piece.write_bytes(path.read_bytes()[:cut])
    damage = Damage()
    read = [(int(m.channel.topic[2]), m.log_time_ns, m.data) for m in scan(piece, damage)]
    assert read == payloads[: len(read)]
    assert not damage.complete and damage.chunks_bad == 0
    if cut == writer.bytes_written:
        assert len(read) == len(payloads)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31), st.integers(1, 255))
def test_a_flipped_byte_is_never_read_as_a_message(tmp_path, where, flip):
    payloads = some_payloads(200)
    path = tmp_path / "whole.mcap"
    path.unlink(missing_ok=True)
    write_file(path, payloads, finish=False)
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    read = [(int(m.channel.topic[2]), m.log_time_ns, m.data) for m in scan(path, Damage())]
    assert set(read) <= set(payloads)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31), st.integers(1, 255))
def test_a_flipped_byte_costs_a_finished_file_one_chunk_at_most(tmp_path, where, flip):
    payloads = some_payloads(200)
    path = tmp_path / "whole.mcap"
    path.unlink(missing_ok=True)
    write_file(path, payloads, chunk_bytes=1024)
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    damage = Damage()
    read = [(int(m.channel.topic[2]), m.log_time_ns, m.data) for m in scan(path, damage)]
    assert set(read) <= set(payloads)
    if where % len(content) >= len(MAGIC):
        assert len(read) > len(payloads) - 30 and damage.chunks_bad <= 1


@pytest.mark.parametrize("finish", [True, False])
def test_damage_in_the_first_chunk_costs_no_other(tmp_path, finish):
    """Nothing else said what the channels are: the whole recording was lost with it."""
    payloads = some_payloads(600)
    path = tmp_path / "a.mcap"
    write_file(path, payloads, chunk_bytes=1024, finish=finish)
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    damage = Damage()
    read = [(int(m.channel.topic[2]), m.log_time_ns, m.data) for m in scan(path, damage)]
    assert damage.chunks_bad == 1 and damage.complete is finish
    assert len(read) > 580 and read == payloads[-len(read) :]


def test_every_reader_takes_channels_that_are_declared_again(tmp_path):
    payloads, path = some_payloads(3000), tmp_path / "a.mcap"
    write_file(path, payloads, chunk_bytes=1024)
    with path.open("rb") as file:
        assert sum(1 for r in StreamReader(file).records if isinstance(r, Channel)) > 3 * 4
    expected = [(f"/t{topic}", t, d) for topic, t, d in payloads]
    for reader_type in (SeekingReader, NonSeekingReader):
        with path.open("rb") as file:
            reader = reader_type(file, validate_crcs=True)
            assert [(c.topic, m.log_time, m.data) for _, c, m in reader.iter_messages()] == expected
    reader = McapReader(path)
    reader.open()
    assert [(c.topic, t, bytes(d)) for c, t, d in reader.messages(reader.connections, 0, 2**63)] == expected
    assert len(reader.connections) == 3
    reader.close()


FULL_DISK = """
import pathlib, resource, signal, sys
sys.path.insert(0, sys.argv[2])
import test_recorder_mcap as t
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 100_000))
path = pathlib.Path(sys.argv[1])
writer = t.McapWriter(path, "", chunk_bytes=8192)
channel = writer.add_channel("/t0", t.STRING.type_name, t.STRING.text, {})
try:
    for i in range(200):
        writer.write(channel, i, bytes([i]) * 1000)
except OSError as error:
    assert path.stat().st_size == writer.bytes_written, "a chunk cut short is taken back"
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # the reserve was given up
    writer.finish({})
    print(error.errno, writer.counts[channel], writer.lost[channel], i + 1)
"""


def test_a_full_disk_keeps_what_was_written_and_counts_the_rest(tmp_path):
    """A file-size limit stands in for a full disk: the kernel refuses the write in the same way."""
    path = tmp_path / "a.mcap"
    command = [sys.executable, "-c", FULL_DISK, str(path), os.path.dirname(__file__)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refusal, kept, lost, written = map(int, output.split())
    assert refusal == errno.EFBIG and lost > 0 and kept + lost == written
    damage = Damage()
    read = [m.data[0] for m in scan(path, damage)]
    assert damage.complete and read == list(range(kept)) and 30 < kept < 60


def test_definitions_carry_units_constants_and_what_they_refer_to():
    definition = load_definition("prophrl_interfaces/msg/ArmTarget")
    assert "MSG: geometry_msgs/Quaternion" in definition.text
    assert "# commanded joint positions, rad" in definition.text
    assert definition.type_hash.startswith("RIHS01_") and len(definition.type_hash) == 71
    with pytest.raises(UserError, match="definition of nowhere/msg/Thing"):
        load_definition("nowhere/msg/Thing")
