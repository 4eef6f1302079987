"""Free directions worked by hand; a change in them leaks nowhere, whatever the optimizer does, on a T5 too."""

import math
from pathlib import Path

import pytest
import torch
import transformers as hf
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.modules.context import ActivePath, ForwardContext
from growlm.modules.directions import (
    free_directions,
    linear_weight,
    num_free,
    num_preserved,
    preserved_directions,
    without_block,
)
from growlm.modules.subspace import Subspace, SubspacePart
from growlm.stack.sites import Sites
from growlm.stack.stack import ModuleStack


def test_directions_by_hand() -> None:
    # writes 5 e3 for the input e1 and 2 e1 for e2; e2 is never written
    weight = torch.tensor([[0.0, 2.0], [0.0, 0.0], [-5.0, 0.0]])
    U_h, V_h = preserved_directions(weight, 1)
    assert torch.equal(U_h, torch.tensor([[0.0], [0.0], [1.0]]))  # its largest entry is positive
    assert torch.equal(V_h, torch.tensor([[-1.0], [0.0]]))
    Q_u, Q_v = free_directions(weight, 1)
    assert torch.equal(Q_u, torch.tensor([[1.0], [0.0], [0.0]]))
    assert torch.equal(Q_v, torch.tensor([[0.0], [1.0]]))
    Q_u, Q_v = free_directions(weight, 1, null_space=True)
    assert torch.equal(Q_u.abs().sum(1), torch.tensor([1.0, 1.0, 0.0]))
    assert torch.equal(Q_v, torch.tensor([[0.0], [1.0]]))


def test_the_block_by_hand() -> None:
    e1, change = torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(without_block(change, e1, e1), torch.tensor([[0.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    ("shape", "ratio", "expected"),
    [
        ((512, 512), 0.75, 384),
        ((1408, 512), 0.75, 384),
        ((10, 30), 0.1 + 0.7, 8),  # 0.7999999999999999 in binary
        ((10, 10), 0.79, 7),
        ((10, 10), 1.2, 10),
        ((10, 10), -0.3, 0),
    ],
)
def test_how_many_are_preserved(shape: tuple[int, int], ratio: float, expected: int) -> None:
    assert num_preserved(shape, ratio) == expected


def test_how_many_are_free() -> None:
    assert num_free((10, 4), 3, null_space=False) == (1, 1)
    assert num_free((10, 4), 3, null_space=True) == (7, 1)
    assert num_free((4, 10), 0, null_space=True) == (4, 10)
    assert num_free((10, 4), 4, null_space=True) == num_free((10, 4), 4, null_space=False) == (0, 0)
    with pytest.raises(GrowlmError, match="5 preserved directions do not fit a weight of 10 x 4: give 0 to 4"):
        num_free((10, 4), 5, null_space=False)


def weight_of(outputs: int, inputs: int, rank: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(outputs * 1000 + inputs)
    rank = rank or min(outputs, inputs)
    left = torch.randn(outputs, rank, generator=generator)
    return 0.1 * left @ torch.randn(rank, inputs, generator=generator)


SHAPES = [(24, 24, None), (40, 16, None), (16, 40, None), (24, 24, 3), (24, 16, 1)]


@pytest.mark.parametrize("null_space", [False, True])
@pytest.mark.parametrize(("outputs", "inputs", "rank"), SHAPES)
def test_free_directions_complete_the_preserved_ones(
    outputs: int, inputs: int, rank: int | None, null_space: bool
) -> None:
    weight, preserved = weight_of(outputs, inputs, rank), min(outputs, inputs) // 4 * 3
    sides = zip(preserved_directions(weight, preserved), free_directions(weight, preserved, null_space), strict=True)
    for high, free in sides:
        both = torch.cat([high, free], 1).double()
        assert (
            both.T @ both - torch.eye(both.shape[1])
        ).abs().max() < 1e-6  # orthonormal, even of a weight of low rank
        assert both.shape[1] == (len(both) if null_space else min(outputs, inputs))
    again = free_directions(weight.clone(), preserved, null_space)
    assert all(map(torch.equal, again, free_directions(weight, preserved, null_space)))


def trained_part(weight: Tensor, preserved: int, null_space: bool, steps: int) -> SubspacePart:
    """Train a part towards a random weight with all that an optimizer may do."""
    shape = (weight.shape[0], weight.shape[1])
    part = SubspacePart(*shape, *num_free(shape, preserved, null_space))
    part.set_directions(*free_directions(weight, preserved, null_space))
    optimizer = torch.optim.AdamW(part.parameters(), lr=3e-3, weight_decay=0.1)
    target, generator = torch.randn(shape), torch.Generator().manual_seed(1)
    for _ in range(steps):
        inputs = torch.randn(8, shape[1], generator=generator)
        loss = (part(inputs, inputs @ weight.T) - inputs @ target.T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return part


@pytest.mark.parametrize("null_space", [False, True])
@pytest.mark.parametrize(("outputs", "inputs", "rank"), SHAPES[:3])
def test_nothing_leaks_in_a_thousand_steps_of_adamw(
    outputs: int, inputs: int, rank: int | None, null_space: bool
) -> None:
    weight, preserved = weight_of(outputs, inputs, rank), min(outputs, inputs) // 4 * 3
    part = trained_part(weight, preserved, null_space, steps=1000)
    delta = part.delta_weight().detach().double()
    assert delta.norm() > 1
    U, _, Vt = torch.linalg.svd(weight.double(), full_matrices=False)
    assert (U[:, :preserved].T @ delta).norm() <= 1e-6 * delta.norm()
    assert (delta @ Vt[:preserved].T).norm() <= 1e-6 * delta.norm()
    # inputs in the preserved row space: the outputs of the base, to rounding
    inside = torch.randn(50, preserved) @ Vt[:preserved].float()
    before = inside @ weight.T
    assert (part(inside, before) - before).norm() <= 3e-6 * before.norm()
    outside = torch.randn(50, inputs)
    assert (part(outside, outside @ weight.T) - outside @ weight.T).norm() > 0.1 * (outside @ weight.T).norm()


def test_a_part_computes_with_its_change_of_the_weight() -> None:
    weight = weight_of(40, 16)
    part = trained_part(weight, 12, False, steps=5)
    assert part.scale == math.sqrt(40 * 16 / (4 * 4))
    inputs, output = torch.randn(2, 3, 16), torch.randn(2, 3, 40)
    torch.testing.assert_close(part(inputs, output), output + inputs @ part.delta_weight().T)
    torch.testing.assert_close(part.delta_weight(), part.scale * part.Q_u @ part.M @ part.Q_v.T)
    assert [name for name, _ in part.named_parameters()] == ["M"]


def linear_and_part(dtype: torch.dtype = torch.float64, moved: float = 0.3) -> tuple[nn.Linear, SubspacePart]:
    torch.manual_seed(0)
    linear = nn.Linear(12, 20).to(dtype).requires_grad_(False)
    part = SubspacePart(20, 12, 5, 4).to(dtype).train()
    part.set_directions(
        torch.linalg.qr(torch.randn(20, 5).to(dtype))[0], torch.linalg.qr(torch.randn(12, 4).to(dtype))[0]
    )
    nn.init.normal_(part.M, 0, moved)
    return linear, part


def one_after_the_other(linear: nn.Linear, part: SubspacePart, inputs: Tensor) -> Tensor:
    return part(inputs, linear(inputs))


def gradients(output: Tensor, part: SubspacePart, inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad((output * torch.arange(output.numel()).view_as(output)).sum(), (part.M, inputs))


@pytest.mark.parametrize("shape", [(40, 12), (3, 15, 12)])
def test_on_many_tokens_it_trains_through_the_changed_weight(shape: tuple[int, ...]) -> None:
    linear, part = linear_and_part()
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    output = part.fused_forward(linear, inputs)
    assert output is not None
    expected = one_after_the_other(linear, part, inputs)
    torch.testing.assert_close(output, expected)
    for found, right in zip(gradients(output, part, inputs), gradients(expected, part, inputs), strict=True):
        torch.testing.assert_close(found, right)


def test_a_new_part_trains_through_the_very_weight() -> None:
    linear, part = linear_and_part(torch.float32, moved=0.0)
    inputs = torch.randn(40, 12)
    output = part.fused_forward(linear, inputs)
    assert output is not None
    assert torch.equal(output, linear(inputs))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = part.fused_forward(linear, inputs)
        assert rounded is not None
        assert torch.equal(rounded, linear(inputs))
    (grad,) = torch.autograd.grad(rounded.float().sum(), part.M)
    (right,) = torch.autograd.grad(one_after_the_other(linear, part, inputs).sum(), part.M)
    torch.testing.assert_close(grad, right, rtol=0.05, atol=0.05)


def test_few_tokens_and_what_is_not_trained_run_one_after_the_other() -> None:
    linear, part = linear_and_part()
    many = torch.randn(40, 12, dtype=torch.float64)
    assert part.fused_forward(linear, many[:6]) is None
    assert part.fused_forward(Conv1D(20, 12), many) is None
    with torch.no_grad():
        assert part.fused_forward(linear, many) is None
    assert part.eval().fused_forward(linear, many) is None
    part.train().M.requires_grad_(False)
    assert part.fused_forward(linear, many) is None


def test_a_stack_trains_alike_either_way(tiny_bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    stack.attach("first", {"subspace": Subspace(preserve_ratio=0.5)})
    moved = list(stack.module_parameters("first").values())
    for parameter in moved:
        nn.init.normal_(parameter, 0, 0.05)
    stack.train()
    ids_BT = torch.randint(6, 300, (4, 50), generator=torch.Generator().manual_seed(0))
    found = torch.autograd.grad(stack(ids_BT).logits.square().mean(), moved)
    ran: list[bool] = []
    monkeypatch.setattr(SubspacePart, "fused_forward", lambda part, layer, inputs: ran.append(True))
    right = torch.autograd.grad(stack(ids_BT).logits.square().mean(), moved)
    assert ran
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_step_of_adam_moves_a_weight_as_far_as_if_all_of_it_were_trained() -> None:
    weight, part = weight_of(40, 16), SubspacePart(40, 16, 4, 4)
    part.set_directions(*free_directions(weight, 12))
    for trained, change in (
        (part.M, part.delta_weight),
        (dense := torch.zeros(40, 16, requires_grad=True), lambda: dense),
    ):
        trained.grad = torch.randn_like(trained)
        torch.optim.Adam([trained], lr=1e-3).step()
        assert change().norm().item() == pytest.approx(1e-3 * math.sqrt(40 * 16), rel=1e-3)


def test_a_kind_changes_the_directions_of_the_base(tiny_bases: dict[str, Path]) -> None:
    for family in "llama", "gpt2":  # gpt2 lays its weights out as [I, O]
        stack = ModuleStack.from_base(str(tiny_bases[family]))
        stack.attach("one", {"subspace": Subspace(preserve_ratio=0.5)})
        sites = stack.sites()
        assert set(sites) == set(stack.architecture.linear_sites(None, range(4)))  # no embedding
        for path, site in sites.items():
            (part,) = site.parts.values()
            assert isinstance(part, SubspacePart)
            expected = free_directions(
                linear_weight(stack.architecture.resolve(path)), min(part.Q_u.shape[0], len(part.Q_v)) // 2
            )
            assert torch.equal(part.Q_u, expected[0])
            assert torch.equal(part.Q_v, expected[1])


def test_a_count_of_every_linear(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"]))
    q, up = "model.layers.1.self_attn.q_proj", "model.layers.2.mlp.up_proj"
    stack.attach("one", {"subspace": Subspace(preserved={up: 30, q: 32}, null_space=True)})
    tensors = stack.module_tensors("one")
    shapes = {name.removeprefix(f"subspace.{up}."): tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == {"Q_u": (64, 34), "Q_v": (32, 2), "M": (34, 2)}  # of q nothing is free


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preserve_ratio": 1.5}, "preserve_ratio 1.5 is not between 0 and 1"),
        ({"preserve_ratio": 1.0}, "preserves every direction of every linear: nothing is left to train"),
        ({"preserved": {"lm_head": 3}}, "names 'lm_head', which is not a linear of this base's layers"),
        (
            {"preserved": {"model.layers.0.self_attn.q_proj": 33}},
            "33 preserved directions do not fit a weight of 32 x 32",
        ),
        ({"preserved": {"model.layers.0.self_attn.q_proj": -1}}, "-1 preserved directions do not fit"),
        ({"preserved": {}, "target_modules": ["q_proj"]}, "names its linears itself"),
    ],
)
def test_what_is_refused(tiny_bases: dict[str, Path], options: dict[str, object], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        ModuleStack.from_base(str(tiny_bases["llama"])).attach("one", {"subspace": Subspace(**options)})  # type: ignore[arg-type]


def test_an_encoder_decoder_learns_without_leaking() -> None:
    torch.manual_seed(0)
    shape = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    config = hf.T5Config(**shape, dropout_rate=0.0, decoder_start_token_id=0)
    model = hf.T5ForConditionalGeneration(config).eval().requires_grad_(False)
    architecture = Architecture(model)
    names = [*(f"SelfAttention.{name}" for name in "qkvo"), "wi", "wo"]  # what the published results train
    linears = architecture.linear_sites(names, range(architecture.num_layers))
    assert len(linears) == 2 * 2 * 6
    assert not any("EncDec" in path or path == "lm_head" for path in linears)
    ids, labels = torch.randint(2, 64, (4, 9)), torch.randint(2, 64, (4, 5))
    before = model(input_ids=ids, labels=labels)
    context, parts = ForwardContext(), {}
    for path in linears:
        weight = linear_weight(model.get_submodule(path))
        preserved = min(weight.shape) // 2
        parts[path] = SubspacePart(*weight.shape, preserved, preserved)
        parts[path].set_directions(*free_directions(weight, preserved))
    sites = Sites(model, context)
    sites.attach("one", "subspace", parts)
    context.activate(ActivePath(("one",)))
    assert torch.equal(model(input_ids=ids, labels=labels).logits, before.logits)
    trained = [part.M for part in parts.values()]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    assert model(input_ids=ids, labels=labels).loss < 0.8 * before.loss
    for path, part in parts.items():
        U, _, Vt = torch.linalg.svd(linear_weight(model.get_submodule(path)).double(), full_matrices=False)
        delta, high = part.delta_weight().detach().double(), min(U.shape[0], Vt.shape[1]) // 2
        assert delta.norm() > 0.01
        assert (U[:, :high].T @ delta).norm() <= 1e-6 * delta.norm()
        assert (delta @ Vt[:high].T).norm() <= 1e-6 * delta.norm()
    context.activate(ActivePath())
    assert torch.equal(model(input_ids=ids, labels=labels).logits, before.logits)
    sites.detach("one")
