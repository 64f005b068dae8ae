"""A logits processor that fails on request; named by hostile_on_cpu.py, imported in the engine's process."""

from halluc_plugin.errors import TraceError
from halluc_plugin.vllm_engine.bans import RewindBans


class FailingBans(RewindBans):
    """Ours, but for a request that says ``fail``."""

    fails = False

    def update_state(self, batch_update):
        """Look for such a request."""
        for _, params, _, _ in batch_update.added if batch_update else ():
            self.fails |= "fail" in (params.extra_args or {})
        super().update_state(batch_update)

    def apply(self, logits):
        """Fail when there is one."""
        if self.fails:
            raise TraceError("The processor was made to fail.", "Do not ask for it.")
        return super().apply(logits)
