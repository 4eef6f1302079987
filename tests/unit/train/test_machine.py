import torch

from growlm.train.machine import keep_freed_memory, machine_kind, set_threads, versions


def test_threads_are_set_where_given() -> None:
    before = torch.get_num_threads()
    set_threads(2)
    assert torch.get_num_threads() == 2
    set_threads(None)
    assert torch.get_num_threads() == 2
    set_threads(before)


def test_keeping_freed_memory_may_be_asked_for_anywhere() -> None:
    keep_freed_memory()
    assert torch.zeros(1 << 20).sum() == 0


def test_the_machine_and_versions_are_described() -> None:
    assert "threads of a CPU" in machine_kind() or " x " in machine_kind()
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["growlm"].startswith("0.")
    assert "/" not in "".join(found.values())
