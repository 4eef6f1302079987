"""Which tests the default tier leaves out: slow ones, and the rest of each product of members."""

import pytest

FOLDERS = {"contracts": "contract", "e2e": "e2e", "golden": "golden", "torture": "slow"}
SLOW = (
    "contracts/test_every_method.py::test_a_killed_later_phase_ends_in_the_same_bits",
    "contracts/test_every_method.py::test_another_seed_gives_other_bits",
    "e2e/test_any_base.py::test_a_family_that_no_table_lists",
    "e2e/test_any_base.py::test_in_half_the_bytes_on_a_named_device_with_checkpoints",
    "e2e/test_bench.py::test_all_skills_at_once_future_skills_and_no_stacks",
    "e2e/test_bench.py::test_answers_are_kept_and_scored_by_another_metric",
    "e2e/test_bench.py::test_choices_are_made_on_other_rows_in_another_order_and_then_tested",
    "e2e/test_bench.py::test_each_skill_after_its_own_phase_and_after_the_last",
    "e2e/test_bench.py::test_general_ability_is_measured_where_it_is_asked_for",
    "e2e/test_bench.py::test_killed_and_run_again",
    "e2e/test_bench.py::test_skills_are_scored_in_the_middle_of_phases",
    "e2e/test_bench.py::test_submitit_runs_the_same_cells",
    "e2e/test_bench.py::test_two_processes_measure_the_same",
    "e2e/test_examples.py",
    "e2e/test_grow.py::test_a_base_that_moved_is_given_anew",
    "e2e/test_grow.py::test_a_finished_phase_is_not_run_again",
    "e2e/test_grow.py::test_fit_is_the_same_phase",
    "e2e/test_grow.py::test_python_grows_the_same",
    "e2e/test_grow.py::test_two_skills_side_by_side",
    "e2e/test_hostile_names.py::test_a_report",
    "e2e/test_installed.py",
    "e2e/test_interrupted.py",
    "e2e/test_out_and_in.py",
    "e2e/test_tasks.py",
    "e2e/test_trainer_options.py::test_what_works",
    "golden/test_ewc.py::test_the_stronger_the_less_the_weights_move",
    "golden/test_fusion.py::test_a_linear_is_as_good_as_the_least_squares_solution",
    "golden/test_joint.py::test_on_a_mixture_of_one_skill_it_is_per_skill_bit_for_bit",
    "golden/test_kif.py::test_every_ablation_can_be_run",
    "golden/test_kif.py::test_without_fusion_and_orthogonality_it_is_sequential_bit_for_bit",
    "golden/test_olora.py::test_new_changes_are_more_orthogonal_than_without",
    "golden/test_olora.py::test_without_strength_it_is_incremental_lora_bit_for_bit",
    "golden/test_osft.py::test_the_block_is_kept_in_a_thousand_steps_of_adamw",
    "golden/test_osft.py::test_two_phases_in_the_factor_form",
    "golden/test_pmoe.py::test_a_module_without_examples_is_passed_over",
    "golden/test_pmoe.py::test_gates_learn_to_close_for_what_the_base_writes",
    "golden/test_pmoe.py::test_gates_learn_to_distinguish_skills",
    "golden/test_pmoe.py::test_the_base_writes_texts_of_its_own",
    "golden/test_recurrent_kif.py::test_a_mean_of_both_changes_is_half_of_each",
    "golden/test_recurrent_kif.py::test_a_round_that_is_cut_short_is_fused_from_its_outer_loop_on",
    "golden/test_recurrent_kif.py::test_every_ablation_can_be_run",
    "golden/test_replay.py::test_ewc_finds_its_own_tensors_beside_the_examples",
    "golden/test_replay.py::test_it_decides_what_the_wrapped_method_decides",
    "golden/test_replay.py::test_without_a_share_it_is_the_wrapped_method_bit_for_bit",
    "golden/test_replay_buffer.py::test_balanced_keeps_equally_many_of_every_phase",
    "golden/test_subspace.py::test_an_encoder_decoder_learns_without_leaking",
    "unit/bench/report/test_report.py::test_plots_and_numbers_are_beside_the_page",
    "unit/bench/report/test_report.py::test_the_same_results_give_the_same_page",
    "unit/harness/test_tasks.py::test_the_harness_s_own_command_knows_the_name",
    "unit/imports/test_from_stack.py::test_the_router_learns_the_module",
    "unit/imports/test_install.py::test_an_adapter_with_a_skill_is_scored_and_routed_like_a_grown_module",
    "unit/imports/test_install.py::test_an_imported_module_is_a_parent_like_any_other",
    "unit/pretrain/test_run.py::test_a_base_begins_as_a_smaller_one",
    "unit/pretrain/test_run.py::test_a_stopped_run_ends_with_the_same_bits",
    "unit/pretrain/test_run.py::test_a_tokenizer_of_another_base_is_used",
    "unit/pretrain/test_run.py::test_rows_in_several_passes_give_the_same_step",
    "unit/pretrain/test_run.py::test_the_same_seed_gives_the_same_weights_and_another_one_others",
    "unit/routing/test_learned.py::test_routing_accuracy_is_reported",
    "unit/serve/test_app.py::test_the_openai_client_talks_to_it",
    "unit/show/test_talk.py::test_opening_fused",
    "unit/stack/test_hub.py::test_a_pushed_stack_is_loaded_by_its_id",
    "unit/stack/test_hub.py::test_a_repository_that_is_not_there",
    "unit/stack/test_transformers_folder.py::test_the_trainer_of_transformers_checkpoints_the_layers",
    "unit/train/test_drop.py::test_after_a_crash_at_any_moment_it_is_there_or_gone",
    "unit/train/test_drop.py::test_the_rest_is_as_if_it_had_never_been_grown",
    "unit/train/test_earlier_data.py::test_it_keeps_its_earlier_scores",
    "unit/train/test_encoder_decoder.py::test_a_skill_is_grown_routed_asked_and_exported",
    "unit/train/test_encoder_decoder.py::test_choices_and_conversations_are_scored",
    "unit/train/test_encoder_decoder.py::test_methods_train_two_phases",
    "unit/train/test_grow.py::test_older_skills_are_scored_again_unless_told_otherwise",
    "unit/train/test_grow_router.py::test_a_killed_phase_leaves_the_same_router",
    "unit/train/test_grow_router.py::test_a_stacks_router_goes_on_with_its_own_options",
    "unit/train/test_grow_router.py::test_another_router_learns_every_module",
    "unit/train/test_grow_router.py::test_none_leaves_the_router_as_it_is",
    "unit/train/test_hidden_cache.py::test_a_resumed_phase_has_the_same_bits",
    "unit/train/test_hidden_cache.py::test_reading_changes_no_bit",
    "unit/train/test_metric.py::test_a_skill_keeps_the_metric_that_it_was_first_scored_by",
    "unit/train/test_phase.py::test_a_fast_dev_run_leaves_a_stack_and_its_unfinished_phase_as_they_were",
    "unit/train/test_phase.py::test_a_phase_with_accumulation_resumes_at_a_step_in_the_same_bits",
    "unit/train/test_phase.py::test_accumulated_gradients_are_those_of_one_large_batch",
    "unit/train/test_phase.py::test_layers_that_are_compiled_wrongly_stop_the_phase",
    "unit/train/test_phase.py::test_the_same_bits_as_growlms_own_trainer_of_the_same_settings",
    "unit/train/test_validate.py::test_a_resumed_training_keeps_what_it_measured",
)
"""Files and tests of several seconds of one core whose invariant a faster test protects, too; nox and CI run them."""
SELECTED = {
    "e2e/test_bad_input.py::test_examples_that_cannot_be_used": ("train-special token", "test-too long"),
    "golden/test_pmoe.py::test_phases_leave_older_experts_as_they_were": ("sequence",),
    "unit/export/test_formats.py::test_hf_folders_compute_what_the_path_does": ("llama",),
    "unit/export/test_formats.py::test_hf_in_half_precision": ("bfloat16",),
    "unit/export/test_formats.py::test_peft_adapters_compute_what_the_path_does": ("modules1-llama", "modules0-gpt2"),
    "unit/base/test_embedding_rows.py::test_no_row_of_a_shipped_base_has_a_twin": ("nano",),
    "golden/test_osft.py::test_nothing_preserved_in_the_block_form_is_sequential_bit_for_bit": ("True",),
    "golden/test_osft.py::test_two_phases_in_the_block_form": ("gpt2",),
    "golden/test_replay.py::test_it_composes_with_every_method": ("osft", "tasl"),
    "golden/test_replay.py::test_the_share_of_old_rows_is_the_stated_one": ("0.1",),
    "golden/test_subspace.py::test_nothing_leaks_in_a_thousand_steps_of_adamw": ("40-16-None-True",),
    "golden/test_tasl.py::test_one_global_merge_is_a_plain_weighted_average": ("0.4",),
    "golden/test_tasl.py::test_two_phases_by_hand": ("lora",),
    "golden/test_tasl.py::test_without_fusion_it_is_sequential_bit_for_bit": ("options1-sequential-parent_options1",),
    "unit/harness/test_tasks.py::test_scores_are_those_of_the_path": ("first",),
    "unit/metrics/test_references.py::test_no_shipped_skill_is_had_without_the_question": (
        *("arithmetic-60", "reasoning-60", "commands-60"),
    ),
    "unit/stack/test_transformers_folder.py::test_the_auto_classes_know_stacks_after_the_import": ("transformers",),
    "golden/test_experts.py::test_sequences_with_a_cache_are_those_without": (
        *("experts-gpt2", "experts+block-llama", "block+experts-gpt_neox"),
    ),
    "unit/bench/report/test_charts.py::test_a_heat_map_has_numbers_where_its_cells_have_room": ("15-True", "40-False"),
    "unit/imports/test_install.py::test_an_imported_adapter_computes_what_it_does_under_peft": (
        *("plain-gpt2", "rslora-llama", "patterns-gpt2", "some layers-llama"),
    ),
    "unit/imports/test_install.py::test_there_and_back_again": ("llama",),
    "unit/metrics/test_scoring.py::test_answers_do_not_depend_on_their_neighbours": ("llama",),
    "unit/show/test_talk.py::test_streaming_yields_what_generating_gives": ("path0",),
    "unit/train/test_phase.py::test_a_training_that_ends_early_is_recorded_as_it_was": ("limits0",),
    "unit/train/test_phase.py::test_layers_that_cannot_be_compiled_run_uncompiled_in_one_line": (
        "options1-1.0-no C++ compiler was found (install g++)",
        "options2-1.0-None",
    ),
    "e2e/test_tasks.py::test_a_task_is_grown_and_scored_as_asked": ("candidates",),
    "golden/test_osft.py::test_two_phases_in_the_factor_form": ("llama",),
    "golden/test_replay.py::test_it_decides_what_the_wrapped_method_decides": ("ewc",),
    "unit/train/test_drop.py::test_the_rest_is_as_if_it_had_never_been_grown": ("b",),
    "unit/train/test_encoder_decoder.py::test_methods_train_two_phases": ("osft",),
    "unit/train/test_grow.py::test_older_skills_are_scored_again_unless_told_otherwise": ("True-scored0",),
}
"""Of these tests of several members or values those that their own tier runs; the others are exhaustive."""
FAMILIES = ("llama", "gpt2", "gpt_neox")
"""Families of bases that represent the others in the default tier, contracts apart, which choose for themselves."""


def tiers_of(item: pytest.Item, name: str) -> set[str]:
    """Find a test's tiers: by its folder, its fixtures, its family of bases, or by the tables above.

    Args:
        item: the test.
        name: its file, from the folder of tests.
    """
    found = {FOLDERS[folder]} if (folder := name.partition("/")[0]) in FOLDERS else set()
    function = f"{name}::{getattr(item, 'originalname', item.name)}"
    if name in SLOW or function in SLOW:
        found.add("slow")
    if "tiny_bases" in getattr(item, "fixturenames", ()):
        found.add("model")
    if callspec := getattr(item, "callspec", None):
        family = callspec.params.get("family", "llama")
        if (family not in FAMILIES and "contract" not in found) or callspec.id not in SELECTED.get(
            function, (callspec.id,)
        ):
            found.add("exhaustive")
    return found
