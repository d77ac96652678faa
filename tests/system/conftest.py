"""A simulated cell with a real arm_node, shared by the tests of a module or made for one."""

import pytest
from prophrl_bringup.bench.arm_rig import ArmRig


@pytest.fixture
def arm_rig(tmp_path, ros_domain, loopback_ip):
    """Maker: ``with arm_rig(**cell_changes) as rig`` -> ArmRig without an arm_node yet."""
    return lambda **changes: ArmRig(tmp_path, loopback_ip, ros_domain, **changes)
