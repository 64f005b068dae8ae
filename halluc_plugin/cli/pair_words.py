"""What ``halluc data pairs`` shows as examples, and says where no pair came of it."""

from halluc_plugin.cli.help import examples

PAIR_EXAMPLES = {
    "pairs": examples(
        "halluc data pairs --kind moved --data DATA/chain/traces.parquet --model my-model "
        "--out moved.parquet",
        "halluc data pairs --kind answers --data gsm8k/train.parquet --model my-model --samples 8 "
        "--max-tokens 512 --negatives likeliest --out answers.parquet",
        "halluc data pairs --kind siblings --data DATA/chain/train.parquet --model my-model "
        "--out steps.parquet",
        "halluc data pairs --kind verify --data DATA/chain/train.parquet --model restarting-model "
        "--out verify.parquet",
        "halluc data pairs --kind consensus --data DATA/chain/train.parquet --model my-model --samples 3 "
        "--rounds 2 --out consensus.parquet",
    )
}
NO_EDITS = "Give traces with effective edits whose answers are right."
NOTHING = {
    "moved": ("No trace has an edit that could be moved to a wrong place.", NO_EDITS),
    "kept": ("No trace has an edit that could be left out.", NO_EDITS),
    "answers": (
        "No problem was answered both right and wrong.",
        "Sample more answers, give easier or harder problems, or allow longer answers (--max-tokens).",
    ),
    **dict.fromkeys(
        ("verify", "correct"),
        (
            "No answer ended, or with --kind correct none that ended was right.",
            "Allow longer answers (--max-tokens), or give easier problems.",
        ),
    ),
    "consensus": (
        "In no debate did most copies agree and others differ.",
        "Let more copies debate (--samples), give harder problems, or allow longer answers (--max-tokens).",
    ),
    "siblings": (
        "No two steps after one prefix differ enough in value.",
        "Draw more steps (--samples), lower --gap, or give the text that ends a step (--step-delimiter).",
    ),
}
"""What is said where no pair comes of it all, and what to do."""
