from setuptools import find_packages, setup

PACKAGE = "prophrl_world_model"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The prophrl maintainers",
    maintainer_email="maintainers@prophrl.example",
    description="Prophet: the action-conditioned video world model: action frames, sampler, rollouts, metrics, node.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "prophet_node = prophrl_world_model.nodes.prophet_node:main",
        ]
    },
)
