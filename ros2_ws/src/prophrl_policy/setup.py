from setuptools import find_packages, setup

PACKAGE = "prophrl_policy"

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
    description="Flow policies: the one policy interface, the small policy, inference backends and the node that turns camera frames into action chunks.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "policy_node = prophrl_policy.nodes.policy_node:main",
        ]
    },
)
