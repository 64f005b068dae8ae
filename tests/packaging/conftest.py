"""Built distributions, and environments that hold one of them beside the hosts of this one."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTS = sysconfig.get_path("purelib")
UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="session")
def build():
    """Builds a target of a source tree with the build backend itself: no network, no other environment."""

    def run(target, folder, source=ROOT):
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        (built,) = folder.iterdir()
        return built

    return run


@pytest.fixture(scope="session")
def wheel(build, tmp_path_factory):
    """The wheel, built from the tree."""
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(build, tmp_path_factory):
    """The source distribution, built from the tree."""
    return build("sdist", tmp_path_factory.mktemp("sdist"))


class Environment:
    """An environment of its own with halluc installed; the hosts are looked up in this test's environment."""

    def __init__(self, folder, *install):
        self.folder = folder
        self.python = folder / "bin" / "python"
        uv = [UV, "--offline", "--quiet"]
        subprocess.run([*uv, "venv", "--python", sys.executable, folder], check=True)
        (self.site / "hosts.pth").write_text(f"{HOSTS}\n")  # hosts' own start-up files are not run
        install = [
            *uv,
            "pip",
            "install",
            "--python",
            self.python,
            "--no-deps",
            "--no-build-isolation",
            *install,
        ]
        subprocess.run(install, check=True)

    @property
    def site(self):
        """Its site-packages."""
        (site,) = self.folder.glob("lib/python*/site-packages")
        return site

    def run(self, code):
        """Run code in it, away from the repository; returns what it prints."""
        command = [self.python, "-P", "-c", code]
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()


@pytest.fixture(scope="session", params=["wheel", "editable"])
def environment(request, tmp_path_factory):
    """Each form of installation, in turn."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "wheel":
        return Environment(folder / "env", request.getfixturevalue("wheel"))
    return Environment(folder / "env", "--editable", ROOT)
