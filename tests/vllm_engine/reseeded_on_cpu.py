"""Sample from an engine as a command opens it: in one go, and begun anew behind other samples."""

import json
import sys
from pathlib import Path

from halluc_plugin.edits import EditVocab
from halluc_plugin.jobs.samplers import Backend, open_sampler
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Response, Space, wanted


def main(model, out):
    """Write the ids of part 1: behind part 0, alone, and with another seed."""
    space = Space(EditVocab(backtrack=673), frozenset({1}), frozenset({2}), max_tokens=24, edits_banned=True)
    sampler = open_sampler(model, Backend.VLLM, space, 0)

    def part(number, seed=3):
        seed_part(sampler, seed, number)
        prompts = [tuple(range(6 + number, 36 + number + i)) for i in range(3)]
        requests = [wanted(prompt, Response(), space) for prompt in prompts for _ in range(4)]
        return [sample.ids for sample in sampler.sample(requests)]

    part(0)
    found = {"behind another": part(1), "another seed": part(1, seed=4), "alone": part(1)}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
