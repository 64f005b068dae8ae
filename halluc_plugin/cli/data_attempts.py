"""Write two attempts in turns for ``halluc data turns --request``: as traces, or as questions of lm-eval."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_output import train_command, trained_folder
from halluc_plugin.commands import shell


@dataclass(frozen=True)
class Attempts:
    """What is written, and how it is told of.

    Attributes:
        data: The value file of answers.
        given: Its rows.
        model: Folder or hub name of the model that reads the ids.
        tokenizer: Its tokenizer.
        request: The text between two attempts.
        out: The file to write.
        as_json: Whether the card is printed as JSON.
        quiet: Whether nothing is said but results.
    """

    data: Path
    given: list[Any]
    model: str
    tokenizer: Any
    request: str
    out: Path
    as_json: bool
    quiet: bool

    def traces(self, most: int, seed: int) -> None:
        """Write traces to fine-tune on, at most so many of a problem."""
        from halluc_plugin.data.attempt_turns import attempt_rows
        from halluc_plugin.data.trace_files import write_traces

        rows = attempt_rows(self.given, *self._ids(), most=most, seed=seed)
        write_traces(self.out, rows, self.tokenizer)
        wrong = sum(bool(row.erased and row.erased[0]) for row in rows)
        train = train_command(self.model, self.out, out=trained_folder(self.out))
        self._tell(len(rows), wrong, {"trajectories": most, "seed": seed}, f"To train on it: {train}")

    def questions(self, problems: Path) -> None:
        """Write each of the problems with its first answer and the request as a row that lm-eval asks."""
        from halluc_plugin.data.attempt_turns import question_rows
        from halluc_plugin.data.parquet import checked_rows, write_parquet
        from halluc_plugin.data.prompts import prompt_ids
        from halluc_plugin.tasks import truth_fault

        rows = checked_rows(problems, truth_fault=truth_fault)
        prompts = [prompt_ids(self.tokenizer, row["prompt"]) for row in rows]
        ids, ends = self._ids()
        asked = question_rows(rows, prompts, self.given, request=ids, ends=ends, tokenizer=self.tokenizer)
        write_parquet(self.out, asked, {"request": self.request})
        wrong = sum(not row["extra_info"]["first_correct"] for row in asked)
        task = f"{rows[0]['data_source'].rpartition('/')[2]}_backtrack"
        ask = shell("lm_eval", "--model", "hf", "--model_args", f"pretrained={self.model}", "--tasks", task)
        self._tell(
            len(asked), wrong, {"problems": str(problems)},
            f"To ask them, with {self.out.parent} as the data set's folder (docs/evaluation.md): {ask}",
        )  # fmt: skip

    def _ids(self) -> tuple[list[int], frozenset[int]]:
        from halluc_plugin.jobs.samplers import answer_ends

        ids = self.tokenizer.encode(self.request, add_special_tokens=False)
        return ids, answer_ends(self.model, self.tokenizer)

    def _tell(self, count: int, wrong: int, more: dict[str, Any], said: str) -> None:
        from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
        from halluc_plugin.problem_sets.files import write_card

        counts = {"count": count, "wrong_first": wrong, "right_first": count - wrong}
        request = {"data": str(self.data), "request": self.request, **more}
        card = self.out.with_suffix(".card.json")
        write_card(card, {**counts, FINGERPRINT: fingerprint(self.tokenizer), "request": request})
        tell(card, said, as_json=self.as_json, quiet=self.quiet)
