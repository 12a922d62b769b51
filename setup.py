"""Extensions and package directories; every other fact about the project is in pyproject.toml.

AJP_DEBUG=1     bounds checks, line tracing, -O0 -g, invariants compiled in
AJP_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer (run Python with libasan preloaded)
AJP_ANNOTATE=1  keep Cython's annotated HTML beside the C files
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("AJP_DEBUG") == "1"
SANITIZE = os.environ.get("AJP_SANITIZE") == "1"
ANNOTATE = os.environ.get("AJP_ANNOTATE") == "1"

ROOT = Path(__file__).parent
PACKAGE_DIR = {"ajp": "ajp", "ajpd": "daemon/ajpd"}


def compiler_flags() -> tuple[list[str], list[str], list[tuple[str, str | None]]]:
    """Compile flags, link flags and macros for the kind of build asked for."""
    compile_args = ["-Wall", "-Wsign-compare", "-Wconversion", "-Wno-unused-function"]
    # What Cython itself generates is not ours to mend.
    compile_args += ["-Wno-sign-conversion", "-Wno-unused-variable", "-Wno-maybe-uninitialized"]
    link_args: list[str] = []
    macros: list[tuple[str, str | None]] = []
    if DEBUG:
        compile_args += ["-O0", "-g"]
        macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_TRACE", "1"), ("AJP_DEBUG", "1")]
    elif SANITIZE:
        compile_args += ["-O1", "-g"]
    else:
        compile_args += ["-O3"]
    if SANITIZE:
        sanitize = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        compile_args += sanitize
        link_args += sanitize
    return compile_args, link_args, macros


def extensions() -> list[Extension]:
    """Every .pyx of both packages, named by its place in the package."""
    compile_args, link_args, macros = compiler_flags()
    found = []
    for package, directory in PACKAGE_DIR.items():
        for source in sorted((ROOT / directory).rglob("*.pyx")):
            inside = source.relative_to(ROOT / directory).with_suffix("")
            found.append(
                Extension(
                    ".".join((package, *inside.parts)),
                    [str(source.relative_to(ROOT))],
                    extra_compile_args=compile_args,
                    extra_link_args=link_args,
                    define_macros=macros,
                )
            )
    return found


setup(
    packages=[
        "ajp",
        "ajp.lb",
        "ajpd",
        "ajpd.config",
        "ajpd.explain",
        "ajpd.http",
        "ajpd.metrics",
        "ajpd.status",
        "ajpd.tomcat",
    ],
    package_dir=PACKAGE_DIR,
    ext_modules=cythonize(
        extensions(),
        include_path=[".", "daemon"],
        annotate=ANNOTATE,
        # Its directives make other C of the same sources, and cythonize looks at their age alone.
        build_dir="build/cython-debug" if DEBUG else None,
        nthreads=0,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "embedsignature": True,
            "linetrace": DEBUG,
        },
    ),
)
