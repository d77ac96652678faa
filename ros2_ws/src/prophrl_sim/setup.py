from setuptools import find_packages, setup

PACKAGE = "prophrl_sim"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(),
    package_data={"": ["*.xml", "*.yaml", "*.json", "*.npz", "*.png", "*.stl", "*.obj"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The prophrl maintainers",
    maintainer_email="maintainers@prophrl.example",
    description="The simulated cell: MuJoCo scenes and tasks, an emulated UR controller and gripper, simulated cameras; a stand-in on the wire.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "sim_cell = prophrl_sim.serve:main",
            "operator_node = prophrl_sim.nodes.operator_node:main",
        ]
    },
)
