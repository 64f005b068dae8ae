"""Files and folders are whole or absent, whatever happens while they are written."""

import errno
from pathlib import Path

import pytest

from halluc_plugin.atomic_files import PARTIAL, make_folder, whole_file, whole_folder, write_whole
from halluc_plugin.errors import SettingsError


class TestFile:
    """One file."""

    def test_it_appears_when_it_is_done(self, tmp_path):
        """Its folder is made; before the end there is nothing under its name, after it nothing beside."""
        path = tmp_path / "a" / "b.txt"
        with whole_file(path) as partial:
            partial.write_text("x", encoding="utf-8")
            assert not path.exists()
        assert [p.name for p in path.parent.iterdir()] == ["b.txt"]

    def test_an_error_leaves_what_was_there(self, tmp_path):
        """The older file stays, and nothing else."""
        path = tmp_path / "b.txt"
        write_whole(path, "old ⌫")

        def interrupted():
            with whole_file(path) as partial:
                partial.write_text("new", encoding="utf-8")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert path.read_text(encoding="utf-8") == "old ⌫"
        assert list(tmp_path.iterdir()) == [path]

    def test_what_cannot_be_a_file(self, tmp_path):
        """A folder in its place, a file in the place of its folder: one message, before any work."""
        (tmp_path / "file").touch()
        for path, message in (
            (tmp_path, "is a folder"),
            (tmp_path / "file" / "x", "No files can be written"),
        ):
            with pytest.raises(SettingsError, match=message), whole_file(path):
                pytest.fail("the work began")


class TestFolder:
    """A folder."""

    @pytest.mark.parametrize("there", [False, True])
    def test_it_appears_when_it_is_done(self, tmp_path, there):
        """New, or filled where it was empty."""
        out = tmp_path / "new" / "out"
        if there:
            out.mkdir(parents=True)
        with whole_folder(out) as folder:
            (folder / "config.json").write_text("{}", encoding="utf-8")
            assert not (out / "config.json").exists()
        assert [p.name for p in out.iterdir()] == ["config.json"]
        assert [p.name for p in out.parent.iterdir()] == ["out"]

    @pytest.mark.parametrize("there", [False, True])
    def test_an_error_leaves_a_place_for_the_next_try(self, tmp_path, there):
        """Nothing, or the empty folder that was there."""
        out = tmp_path / "out"
        if there:
            out.mkdir()

        def on_a_full_disk():
            with whole_folder(out) as folder:
                (folder / "half").touch()
                raise OSError(errno.ENOSPC, "full")

        with pytest.raises(OSError, match="full"):
            on_a_full_disk()
        assert [p.name for p in tmp_path.iterdir()] == (["out"] if there else [])
        with whole_folder(out) as folder:
            (folder / "x").touch()
        assert (out / "x").exists()

    def test_what_a_killed_command_left_does_not_block(self, tmp_path):
        """The part of it that is ours is thrown away."""
        (tmp_path / PARTIAL).mkdir()
        (tmp_path / PARTIAL / "half").touch()
        with whole_folder(tmp_path) as folder:
            (folder / "x").touch()
        assert [p.name for p in tmp_path.iterdir()] == ["x"]

    def test_the_current_folder(self, tmp_path, monkeypatch):
        """`--out .` works too."""
        monkeypatch.chdir(tmp_path)
        with whole_folder(Path()) as folder:
            (folder / "x").touch()
        assert (tmp_path / "x").exists()

    def test_taken_places_are_refused(self, tmp_path):
        """A file, a folder with something in it, a broken link."""
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        for path in (tmp_path / "file", tmp_path, tmp_path / "link"):
            with pytest.raises(SettingsError, match="not an empty folder"), whole_folder(path):
                pytest.fail("the work began")

    def test_no_place_at_all(self, tmp_path):
        """Below a file, or where nobody may write."""
        (tmp_path / "file").touch()
        with pytest.raises(SettingsError, match="No files can be written"):
            make_folder(tmp_path / "file" / "below")
        with pytest.raises(SettingsError, match="No files can be written"):
            make_folder(Path("/proc/halluc"))
