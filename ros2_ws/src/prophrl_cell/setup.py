from setuptools import find_packages, setup

PACKAGE = "prophrl_cell"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(),
    package_data={"": ["*.xml", "*.yaml", "*.json", "*.npz", "*.png", "*.stl", "*.obj", "static/*.css", "static/*.js"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The prophrl maintainers",
    maintainer_email="maintainers@prophrl.example",
    description="The robot cell: the arm over RTDE behind its safety envelope, the gripper, the RealSense cameras, the episode recorder and the trial session.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "arm_node = prophrl_cell.nodes.arm_node:main",
            "gripper_node = prophrl_cell.nodes.gripper_node:main",
            "camera_node = prophrl_cell.nodes.camera_node:main",
            "recorder_node = prophrl_cell.nodes.recorder_node:main",
            "session_node = prophrl_cell.nodes.session_node:main",
            "teleop_node = prophrl_cell.nodes.teleop_node:main",
            "console_node = prophrl_cell.nodes.console_node:main",
        ]
    },
)
