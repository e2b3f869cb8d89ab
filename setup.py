"""Packaging.

`constraints.txt` pins the versions that were tested, and
`constraints-lowest.txt` the lowest that are promised here; `make test-lowest` tests those.
"""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "vidprior/__init__.py").read_text())[1]
# For the page. Not among the tests' requirements: Gradio needs Pillow below 13.
APP = ["gradio>=6.31,<7"]
# For figures and reports.
FIGURES = ["jinja2>=3.1,<4", "matplotlib>=3.9,<4"]
# For a batch on a cluster, and for data at URLs.
RAY = ["fsspec>=2024.2", "ray>=2.40,<3"]
# For data in S3. Not among the tests' requirements: it needs python-dateutil below 3.
S3 = ["s3fs>=2024.2"]
# For TensorBoard.
TENSORBOARD = ["tensorboard>=2.18,<3"]

setup(
    name="vidprior",
    version=VERSION,
    description="Video inpainting by internal learning: object removal trained on the clip itself",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["vidprior", "vidprior.*"]), "vidprior.configs"],
    package_dir={"vidprior.configs": "configs"},
    package_data={"vidprior": ["py.typed"]},
    entry_points={"console_scripts": ["vidprior = vidprior.main:run"]},
    install_requires=[
        "absl-py>=2.1,<3",
        "av>=18,<19",
        "filelock>=3.21,<5",
        "flax>=0.10.6,<0.13",
        "jax>=0.9,<0.12",  # from 0.9 on it has the compiler options of vidprior/runtime.py
        "ml-collections>=1.0,<2",
        "numpy>=2.0,<3",
        "opencv-python-headless>=4.10.0.84,<6",
        "optax>=0.2.5,<0.3",
        "orbax-checkpoint>=0.11.20,<0.13",
        "pillow>=10.4,<14",
        "pooch>=1.8,<2",
        "pyyaml>=6.0.1,<7",
        "scikit-image>=0.24,<0.27",
        "scipy>=1.13,<2",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "app": APP,
        "figures": FIGURES,
        "ray": RAY,
        "s3": S3,
        "tensorboard": TENSORBOARD,
        "cuda": ["jax[cuda12]>=0.9,<0.12"],  # drivers made for CUDA 13 run it too
        "cuda12": ["jax[cuda12]>=0.9,<0.12"],
        "cuda13": ["jax[cuda13]>=0.9,<0.12"],
        "test": [
            *FIGURES,
            *RAY,
            *TENSORBOARD,
            "hypothesis>=6.100,<7",
            "imageio>=2.34,<3",
            "ipykernel>=6.29,<8",
            "mypy>=1.13,<3",
            "nbclient>=0.10,<1",
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "ruff>=0.14,<1",
            "setuptools>=77",
        ],
    },
)
