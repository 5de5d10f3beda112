"""Metadata, dependencies and console scripts: the single source."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "dd_nnunet/__init__.py").read_text())[1]
COMMANDS = {
    "dd_plan_and_preprocess": "plan_and_preprocess:main",
    "dd_extract_fingerprint": "plan_and_preprocess:main_fingerprint",
    "dd_plan_experiment": "plan_and_preprocess:main_plan",
    "dd_preprocess": "plan_and_preprocess:main_preprocess",
    "dd_verify_dataset": "verify:main",
    "dd_train": "train:main",
    "dd_predict": "predict:main",
    "dd_predict_from_modelfolder": "predict:main_from_modelfolder",
    "dd_evaluate_folder": "evaluate:main",
    "dd_baseline": "baseline:main",
    "dd_accumulate_crossval_results": "accumulate:main",
    "dd_report": "report:main",
    "dd_export_model_to_zip": "model_zip:main_export",
    "dd_install_model_from_zip": "model_zip:main_install",
    "dd_doctor": "doctor:main",
    "dd_convert_synthcell": "convert:main_synthcell",
    "dd_convert_folder": "convert:main_folder",
    "dd_convert_brats19": "convert_published:main_brats19",
    "dd_convert_hsu": "convert_published:main_hsu",
    "dd_convert_msd": "convert_published:main_msd",
}

setup(
    name="dd_nnunet",
    version=VERSION,
    description="Self-configuring discovery of nested parts in unlabelled 3-D biomedical volumes",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["dd_nnunet*", "dataset_conversion*"]),
    package_data={"dd_nnunet": ["py.typed", "report/*.jinja"]},
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.10",
        "SimpleITK>=2.4",
        "batchgenerators>=0.25.1",
        "numpy>=2.0",
        "scipy>=1.13",
        "acvl-utils>=0.2.5,<0.3",
        "dynamic-network-architectures>=0.4.4,<0.5",
        "blosc2>=4.14.1",
        "filelock>=3.15",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "safetensors>=0.5",
        "scikit-image>=0.24",
        "tifffile>=2024.1",
        "tqdm>=4.66",
    ],
    extras_require={
        "dev": [
            "hypothesis",
            "mypy",
            "nibabel",
            "pre-commit",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "scikit-learn",
            "surface-distance",
        ],
    },
    entry_points={
        "console_scripts": [f"{name} = dd_nnunet.commands.{target}" for name, target in COMMANDS.items()]
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
