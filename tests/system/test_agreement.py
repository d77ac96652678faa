import json

from prophrl_bringup.cli import dispatch

PATH_P50_MM, PATH_MAX_MM = 3.0, 10.0  # 12 ms and 40 ms of motion at 0.25 m/s: sending, RTDE cycle, time stamps


def test_the_same_actions_do_the_same_in_process_and_on_the_wire(tmp_path, ros_domain, loopback_ip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROPHRL_ROOT", str(tmp_path))
    file = tmp_path / "figures.json"
    status = dispatch(["bench", "agreement", "--trials", "2", "--host", loopback_ip, "--json", str(file)])
    figures = {f["name"]: f for f in json.loads(file.read_text())["figures"]}
    assert status == 0
    assert figures["sim.agreement.grasp_bottle.same_outcome"]["value"] == 1.0
    assert figures["sim.agreement.grasp_bottle.path.p50"]["value"] < PATH_P50_MM
    assert figures["sim.agreement.grasp_bottle.path.max"]["value"] < PATH_MAX_MM
    assert figures["sim.agreement.grasp_bottle.path.p50"]["n"] > 50
