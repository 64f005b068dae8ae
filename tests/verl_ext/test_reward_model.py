"""verl's reward models are asked about what is left after the edits: real worker, a router that remembers."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.reward_loop import reward_loop
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.trainer.ppo.reward import load_reward_manager

from halluc_plugin.errors import SettingsError
from halluc_plugin.rl.step_metrics import rollout_metrics
from verl_ext.preflight.parts import require_our_parts
from verl_ext.run_settings import from_config


@pytest.fixture
def router():
    """A server in the place of verl's router: every answer is worth 0.75; ``asked`` holds the requests."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            """Remember the request, and answer as vLLM's ``/classify`` does."""
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            answer = json.dumps({"data": [{"probs": [0.25, 0.75]}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.asked, server.address = asked, f"127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()


@pytest.fixture
def rm_config(verl_config):
    """A run with a discriminative reward model."""
    verl_config.reward.reward_model.enable = True
    verl_config.reward.reward_model.model_path = "judge"
    verl_config.reward.reward_model.rollout.name = "vllm"
    return verl_config


def worker(config, tokenizer, router):
    """Verl's worker as it is after its tokenizers are loaded."""
    made = object.__new__(RewardLoopWorker)
    made.config, made.reward_router_address = config, router.address
    made.input_tokenizer = made.reward_model_tokenizer = tokenizer
    made.reward_manager = load_reward_manager(
        config, tokenizer, reward_router_address=router.address, reward_model_tokenizer=tokenizer
    )
    return made


def score(config, tokenizer, router, data):
    """One call as verl makes it, in the event loop of the worker."""

    async def call():
        return await worker(config, tokenizer, router).compute_score(data)

    return asyncio.run(call())


def rows(tokenizer, text, *, padding=0, **columns):
    """A row of verl's; in its text '!' is the edit token and '$' is EOS."""
    table = tokenizer.get_vocab()
    ids = [table["<|BACKTRACK|>" if c == "!" else "<|im_end|>" if c == "$" else c] for c in text]
    columns = {"raw_prompt": [{"role": "user", "content": "3 5\n"}], **columns}
    non_tensor = {}
    for name, value in columns.items():
        non_tensor[name] = np.empty(1, dtype=object)
        non_tensor[name][0] = value
    return DataProto(
        batch=TensorDict(
            {
                "prompts": torch.tensor([[1, 2, 3, 0]]),  # padded as the colocated path pads it
                "responses": torch.tensor([ids + [0] * padding]),
                "attention_mask": torch.tensor([[1, 1, 1, 0] + [1] * len(ids) + [0] * padding]),
            },
            batch_size=1,
        ),
        non_tensor_batch=non_tensor,
    )


@pytest.mark.parametrize("padding", [0, 5])
def test_a_discriminative_model_sees_what_is_left(rm_config, tokenizer, router, padding):
    """The text that is asked about has neither the erased error nor the edits, wherever padding ends it."""
    result = score(rm_config, tokenizer, router, rows(tokenizer, "3+5=8!!!!*5=15$", padding=padding))
    assert result == {"reward_score": 0.75, "reward_extra_info": {}}
    assert [(path, request["input"]) for path, request in router.asked] == [("/classify", "3 5\n3*5=15")]


@pytest.mark.parametrize(("text", "left"), [("3*5=15$", "3*5=15"), ("3!", ""), ("!!3", "3"), ("12!3", "13")])
def test_any_answer_is_collapsed_by_its_ids(rm_config, tokenizer, router, text, left):
    """Edits at the beginning do nothing, an answer may be erased as a whole, one without edits is itself."""
    score(rm_config, tokenizer, router, rows(tokenizer, text))
    assert [request["input"] for _, request in router.asked] == [f"3 5\n{left}"]


def test_a_run_of_verls_own_is_asked_as_ever(rm_config, tokenizer, router):
    """Without our reward manager the worker's request and result are verl's, edit tokens and all."""
    rm_config.reward.reward_manager.name = "naive"
    result = score(rm_config, tokenizer, router, rows(tokenizer, "3!4$"))
    assert result == {"reward_score": 0.75}
    assert [request["input"] for _, request in router.asked] == ["3 5\n3<|BACKTRACK|>4"]


def test_a_generative_model_is_asked_once_about_what_is_left(rm_config, tokenizer, router, tmp_path):
    """The user's function gets the router and the text after edits, and is not asked about the raw text.

    So nothing is known of the raw text's accuracy, and none is logged.
    """
    (tmp_path / "judge.py").write_text(
        "import urllib.request, json\n"
        "def compute_score(data_source, solution_str, ground_truth, extra_info, reward_router_address,\n"
        "                  reward_model_tokenizer):\n"
        "    body = json.dumps({'messages': solution_str}).encode()\n"
        "    url = f'http://{reward_router_address}/v1/chat/completions'\n"
        "    request = urllib.request.Request(url, body, {'Content-Type': 'application/json'})\n"
        "    return json.load(urllib.request.urlopen(request))['data'][0]['probs'][-1]\n",
        encoding="utf-8",
    )
    rm_config.reward.custom_reward_function.path = str(tmp_path / "judge.py")
    rm_config.reward.reward_model.enable_resource_pool = True
    data = rows(
        tokenizer,
        "3+5=8!!!!*5=15$",
        data_source="mine",
        reward_model={"ground_truth": "15"},
        extra_info={},
        tool_extra_fields={},
    )
    result = score(rm_config, tokenizer, router, data)
    assert result["reward_score"] == 0.75
    assert [request["messages"] for _, request in router.asked] == ["3*5=15"]
    assert "acc_raw" not in result["reward_extra_info"]
    metrics = rollout_metrics([result["reward_extra_info"]], [torch.ones(14)])
    assert metrics["backtrack/num_erased"] == 4
    assert "backtrack/acc_raw" not in metrics


def test_the_worker_verl_builds_is_the_one_that_collapses():
    """The class that verl makes its Ray actors of has our method, under verl's own name."""
    assert reward_loop.RewardLoopWorker.compute_score_disrm.__module__ == reward_loop.__name__
    assert reward_loop.RewardLoopWorker.compute_score_disrm.__wrapped__ is not None


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"reward": {"weights": {"outcome": 1.0, "format": 0.5}}}, "halluc.reward is set"),
        ({"reward": {"weights": {"outcome": 1.0, "backtrack": 1.0}}}, "halluc.reward.weights.backtrack"),
        ({"credit": {"alpha": 0.5}}, "halluc.credit.alpha is set"),
        ({"values": {"source": "continuations"}}, "halluc.values.source=continuations is set"),
        ({"curriculum": [{"steps": 1, "weights": {"outcome": 2.0}}, {}]}, "halluc.reward is set"),
    ],
)
def test_what_the_model_would_pass_over_is_refused(rm_config, block, named):
    """A discriminative model's score is the whole reward: nothing beside it would be paid."""
    rm_config.halluc = block
    with pytest.raises(SettingsError, match=named) as refusal:
        require_our_parts(rm_config, from_config(rm_config))
    assert "reward_model.enable=true lets the model alone score" in str(refusal.value)
    rm_config.reward.custom_reward_function.path = "judge.py"
    require_our_parts(rm_config, from_config(rm_config))


def test_credit_by_the_groups_rewards_goes_with_a_model(rm_config):
    """Values of a prefix tree are made of whole answers' rewards, whoever gave them."""
    rm_config.halluc = {"credit": {"alpha": 0.5, "values": "prefix_tree"}}
    require_our_parts(rm_config, from_config(rm_config))
