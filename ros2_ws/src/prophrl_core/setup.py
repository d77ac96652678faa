from setuptools import find_packages, setup

PACKAGE = "prophrl_core"

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
    description="The vocabulary of prophrl without torch, with ROS only in what all nodes share: poses, action specification and chunks, camera model, cell and task descriptions, episodes, policy bundles.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
)
