"""The settings of ``verl.trainer.sft_trainer`` that can be combined with halluc's."""

from verl_ext.host_settings.keys import OWN_STRATEGY, STOCK_STRATEGY, TREE_ATTENTION
from verl_ext.host_settings.table import Row, Table, Where, above, given, on, other_than

HARD, EVERYWHERE = Where.HARD, Where.EVERYWHERE
DATASET = "pkg://verl_ext.sft_dataset"

SFT_TABLE: Table = {
    "Engine": (
        Row(
            (other_than("engine.strategy", STOCK_STRATEGY, OWN_STRATEGY, example="fsdp"),),
            HARD,
            "sees what was erased",
            f"Set engine.strategy={STOCK_STRATEGY} (completed by the recipe).",
        ),
        Row(
            (above("engine.ulysses_sequence_parallel_size", 1),),
            HARD,
            "cuts sequences up, which our engine does not support",
            "Set engine.ulysses_sequence_parallel_size=1.",
        ),
        Row(
            (on("model.use_fused_kernels"),),
            HARD,
            "never builds the logits that our engine reads",
            "Set model.use_fused_kernels=false.",
        ),
        Row(
            (
                other_than(
                    "model.override_config.attn_implementation",
                    *TREE_ATTENTION,
                    example="flash_attention_2",
                ),
            ),
            HARD,
            "takes no tree mask",
            "Set model.override_config.attn_implementation=sdpa, or leave it out.",
        ),
        Row((on("model.use_liger"),), HARD, "was never tried with trees", "Set model.use_liger=false."),
        Row(
            (on("model.mtp.enable"),),
            HARD,
            "predicts tokens from contexts that hold what was erased",
            "Set model.mtp.enable=false.",
        ),
        Row(
            (on("model.use_remove_padding"),),
            Where.NOWHERE,
            "is as in verl; hard context lays sequences out itself",
        ),
        Row((on("data.use_dynamic_bsz"),), Where.NOWHERE, "is as in verl"),
    ),
    "Low-rank updates": tuple(
        Row(
            (values,),
            HARD,
            "was never tried there",
            "Set model.lora_rank=0 and leave the other settings of low-rank updates out, or fine-tune with "
            "`halluc train --low-rank 8`, which also trains the rows of new tokens.",
        )
        for values in (
            above("model.lora_rank", 0),
            above("model.lora.rank", 0),
            given("model.lora_adapter_path", "adapter"),
        )
    ),
    "Data": (
        Row(
            (other_than("data.custom_cls.path", DATASET, example="theirs.py"),),
            EVERYWHERE,
            "is a data set that knows nothing of traces",
            f"Leave data.custom_cls out ({DATASET}).",
        ),
        Row(
            (other_than("data.pad_mode", "no_padding", example="right"),),
            EVERYWHERE,
            "is a layout that this verl's engines do not take",
            "Set data.pad_mode=no_padding.",
        ),
    ),
}
