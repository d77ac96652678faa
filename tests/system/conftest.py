"""A simulated cell with a real arm_node, shared by the tests of a module or made for one."""

import pytest
from claims import ADDRESSES, DOMAINS, Claim
from prophrl_bringup.bench.arm_rig import ArmRig


@pytest.fixture
def arm_rig(tmp_path, ros_domain, loopback_ip):
    """Maker: ``with arm_rig(**cell_changes) as rig`` -> ArmRig without an arm_node yet."""
    return lambda **changes: ArmRig(tmp_path, loopback_ip, ros_domain, **changes)


@pytest.fixture(scope="module")
def shared_arm_rig(tmp_path_factory):
    """One ArmRig for all tests of a module, its arm_node running and the arm at home."""
    domain, address = Claim("domain", DOMAINS), Claim("address", ADDRESSES)
    with ArmRig(tmp_path_factory.mktemp("arm"), address.value, domain.value) as rig:
        rig.start_arm()
        rig.client.home()
        yield rig
    domain.release()
    address.release()
