from glob import glob

from setuptools import find_packages, setup

PACKAGE = "prophrl_bringup"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(),
    package_data={"": ["*.xml", "*.yaml", "*.json", "*.npz", "*.png", "*.stl", "*.obj"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", glob("launch/*.launch.py")),
        (f"share/{PACKAGE}/config", glob("config/*.*")),
        (f"share/{PACKAGE}/config/cells", glob("config/cells/*.yaml")),
        (f"share/{PACKAGE}/config/tasks", glob("config/tasks/*.yaml")),
        (f"share/{PACKAGE}/config/teleop", glob("config/teleop/*.yaml")),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The prophrl maintainers",
    maintainer_email="maintainers@prophrl.example",
    description="What runs where: cell and task descriptions, launch files, DDS profile, Foxglove layout and the prophrl command.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "prophrl = prophrl_bringup.cli:main",
            "heartbeat_node = prophrl_bringup.nodes.heartbeat_node:main",
            "run_trials = prophrl_bringup.nodes.run_trials:main",
        ]
    },
)
