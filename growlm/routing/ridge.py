"""Ridge regression in closed form from shallow features of a prompt to the module that answers it.

Analytic continual learning (Zhuang et al. 2022, "ACIL", arXiv 2205.14922, eq. 9-11): a ridge regression needs only sums
over the data, so that what is learned phase by phase is the joint solution over all phases, without stored data and
without forgetting. With x an augmented feature vector [x; 1] of a prompt, y the one-hot vector of its module c, and

    M_c = mean of x xᵀ over the prompts of c,     G = sum_c M_c,     C = [last column of M_c]_c = sum_c mean of x yᵀ,

the weights are W = (G + λ diag(G))⁻¹ C: every module counts alike however many prompts it has, and no feature's scale
matters. λ is greater for the mean over the whole turn than for its last words, which mostly say what is wanted. Unlike
there, the M_c are kept apart rather than summed, so that a module can be unlearned exactly, and no recursion of the
inverse (Woodbury) is needed, which would gather rounding.

Out of domain: M_c also holds the mean and covariance of c. A prompt goes to the bare base if its Mahalanobis distance
(Lee et al. 2018, arXiv 1807.03888, with a covariance of its own for each module) from the module it was given to is
beyond a limit that was set on held-out prompts of that module when it was learned. Nothing learned later moves it.

Cost: the layers below ``layer`` for a prompt; (width + 1)(width + 2) / 2 numbers for a module.
Proved by tests/unit/routing/test_ridge.py. Shapes: N prompts, D features, E = D + 1, K modules.
"""

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.base.architecture import Architecture
from growlm.data.example import Split
from growlm.errors import GrowlmError
from growlm.manifest.path import BASE, Path
from growlm.routing._features import shallow_features
from growlm.routing.prompts import DrawnPrompts
from growlm.routing.router import DrawPrompts, Prompts, Router

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_MOMENT, _LIMIT = "moment", "limit"
_SPLITS: tuple[Split, ...] = ("train", "validation")


class Ridge(Router):
    """Closed-form ridge regression on shallow features of the bare base; the default.

    Args:
        layer: index of the decoder layer whose input is looked at; None: the middle one.
        width: greatest number of features; more are hashed into this many, with signs. With last words half of them
            are theirs, a quarter the last token's and a quarter the whole turn's.
        penalty: the ridge, relative to the features' own squares.
        slack: how many times as far as the farthest held-out prompt of a module a prompt may be from it.
        blend: how much of the base's covariance is mixed into a module's, which may vary in a few directions only.
        num_prompts: how many prompts of a skill are looked at.
        last_words: over how many of the last words of a turn a mean is taken, beside that over all of it; 0: none.
        turn_penalty: with last words, the ridge of the mean over the whole turn.
        augment: learn from changed copies of each prompt, too: see ``growlm.routing._augmentation``.
    """

    name = "ridge"

    encoder_decoder = True
    later_options = MappingProxyType({"last_words": 0, "augment": False})

    def __init__(
        self,
        layer: int | None = None,
        width: int = 512,
        penalty: float = 1e-3,
        slack: float = 2.0,
        blend: float = 0.3,
        num_prompts: int = 1_000,
        last_words: int = 12,
        turn_penalty: float = 0.03,
        augment: bool = True,
    ) -> None:
        self.layer = layer
        self.width = width
        self.penalty = penalty
        self.slack = slack
        self.blend = blend
        self.num_prompts = num_prompts
        self.last_words = last_words
        self.turn_penalty = turn_penalty
        self.augment = augment
        positive = width > 0 and num_prompts > 0 and penalty > 0 and turn_penalty > 0 and slack > 0
        if not positive or not 0 <= blend < 1 or last_words < 0 or (last_words and width < 4):
            raise GrowlmError(
                f"router 'ridge' cannot work with {self.options()}: width, num_prompts, penalty, turn_penalty and "
                "slack have to be above 0, blend from 0 to below 1, last_words at least 0 and, if above, width at "
                "least 4"
            )
        self._moments: dict[str, Tensor] = {}
        self._limits: dict[str, Tensor] = {}

    def options(self) -> dict[str, Any]:
        """Return the options; see ``Router.options``."""
        keys = ("layer", "width", "penalty", "slack", "blend", "num_prompts", "last_words", "turn_penalty", "augment")
        return {key: getattr(self, key) for key in keys}

    def known(self) -> tuple[str, ...]:
        """Return what it can choose, sorted."""
        return tuple(sorted(self._moments))

    def check(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Refuse a layer that the base does not have, and a skill without prompts."""
        self._layer(stack)
        for split in _SPLITS:
            if not draw(split, self.num_prompts, augment=self.augment):
                raise GrowlmError(f"skill {name!r} has no prompt in its {split} split to learn routing from: add some")

    def learn(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Learn to choose a module from prompts of its skill; see ``Router.learn``."""
        learned_ND, held_out_ND = (
            self._features(stack, draw(split, self.num_prompts, augment=self.augment)) for split in _SPLITS
        )
        moment_EE = moment(learned_ND)
        self._moments[name] = unpacked(packed(moment_EE), len(moment_EE))  # to the last bit what a file gives back
        farthest = torch.tensor(torch.inf, dtype=torch.float64)
        if name != BASE:
            farthest = self.slack * self._distance(name, held_out_ND).max()
        self._limits[name] = farthest

    def forget(self, name: str) -> None:
        """Forget a module; see ``Router.forget``."""
        self._moments.pop(name, None)
        self._limits.pop(name, None)

    def choose(self, stack: "ModuleStack", prompts: Prompts) -> list[Path]:
        """Choose the path of each prompt; see ``Router.choose``."""
        names = self.known()
        if not names or not prompts:
            return [()] * len(prompts)
        features_ND = self._features(stack, prompts)
        best_N = (augmented(features_ND) @ self.weights()).argmax(1)
        paths: list[Path] = [()] * len(prompts)
        for index, name in enumerate(names):
            rows = (best_N == index).nonzero().flatten()
            if name == BASE or not len(rows):
                continue
            near_N = self._distance(name, features_ND[rows]) <= self._limits[name]
            for row in rows[near_N].tolist():
                paths[row] = stack.path_of(name)
        return paths

    def weights(self) -> Tensor:
        """Solve the regression.

        Returns:
            W, Double[E, K], a column for each name of ``known``.
        """
        means = [self._moments[name] / self._moments[name][-1, -1] for name in self.known()]
        num_features = len(means[0]) - 1
        penalty_D = torch.full((num_features,), self.penalty, dtype=torch.float64)
        if self.last_words:
            penalty_D[: min(self.width // 4, num_features // 3)] = self.turn_penalty
        return ridge_weights(means, penalty_D)

    def state_dict(self) -> dict[str, Tensor]:
        """Return, for each module, the upper triangle of its summed moments, and its limit."""
        triangles = {f"{_MOMENT}/{name}": packed(moment_EE) for name, moment_EE in self._moments.items()}
        return triangles | {f"{_LIMIT}/{name}": limit for name, limit in self._limits.items()}

    def load_state_dict(self, state: Mapping[str, Tensor], architecture: Architecture) -> None:
        """Restore what ``state_dict`` returned; see ``Router.load_state_dict``."""
        size = sum(self._sizes(architecture.config.hidden_size)) + 1
        names = {key.partition("/")[2] for key in state}
        shapes = {
            f"{what}/{name}": shape
            for name in names
            for what, shape in ((_MOMENT, (size * (size + 1) // 2,)), (_LIMIT, ()))
        }
        found = {key: tuple(tensor.shape) for key, tensor in state.items()}
        wrong = sorted(key for key in {*found, *shapes} if found.get(key) != shapes.get(key))
        wrong += [key for key, tensor in state.items() if tensor.dtype != torch.float64 or bool(tensor.isnan().any())]
        wrong += [key for key, tensor in state.items() if key.startswith(_MOMENT) and not tensor[-1:].sum() >= 1]
        if wrong:
            raise GrowlmError(f"tensor {wrong[0]!r} does not fit router 'ridge' on this base")
        self._moments = {name: unpacked(state[f"{_MOMENT}/{name}"], size) for name in names}
        self._limits = {name: state[f"{_LIMIT}/{name}"].clone() for name in names}

    # -- inside ------------------------------------------------------------------------------------------------------

    def _layer(self, stack: "ModuleStack") -> int:
        reading = stack.architecture.num_reading
        layer = stack.architecture.check_layers([reading // 2 if self.layer is None else self.layer])[0]
        if layer >= reading:
            raise GrowlmError(
                f"layer {layer} is the decoder's, which reads no prompts: give the router one below {reading}"
            )
        return layer

    def _sizes(self, hidden_size: int) -> tuple[int, ...]:
        """Return how many features are made of the whole turn, the last token and the last words, or of the first two.

        Without last words these are hashed together.
        """
        if not self.last_words:
            return (min(self.width, 2 * hidden_size),)
        quarter, half = min(self.width // 4, hidden_size), min(self.width // 2, hidden_size)
        return quarter, quarter, half

    def _features(self, stack: "ModuleStack", prompts: Prompts) -> Tensor:
        layer = self._layer(stack)

        def features() -> Tensor:
            sizes = self._sizes(stack.architecture.config.hidden_size)
            pooled = shallow_features(stack, prompts, layer, self.last_words).chunk(len(sizes), 1)
            return torch.cat([hashed(part_ND, size) for part_ND, size in zip(pooled, sizes, strict=True)], 1)

        if not isinstance(prompts, DrawnPrompts):
            return features()
        key = (stack.manifest.base.digest, str(stack.dtype), layer, self.width, self.last_words)
        return prompts.get_or_compute(key, features)

    def _distance(self, name: str, features_ND: Tensor) -> Tensor:
        """Compute the mean squared Mahalanobis distance of features from a module's, Double[N]."""
        mean_D, covariance_DD = mean_and_covariance(self._moments[name])
        if self.blend and BASE in self._moments:
            covariance_DD = torch.lerp(covariance_DD, mean_and_covariance(self._moments[BASE])[1], self.blend)
        floor = 0.01 * covariance_DD.diagonal().mean().clamp_min(1e-12)
        covariance_DD = covariance_DD + floor * torch.eye(len(mean_D), dtype=torch.float64)
        offset_ND = features_ND - mean_D
        return (offset_ND * torch.linalg.solve(covariance_DD, offset_ND.T).T).mean(1)


def augmented(features_ND: Tensor) -> Tensor:
    """Append a 1 to each feature vector, [N, D] to [N, E]."""
    return torch.cat([features_ND, torch.ones(len(features_ND), 1, dtype=features_ND.dtype)], 1)


def moment(features_ND: Tensor) -> Tensor:
    """Sum x xᵀ over augmented feature vectors, [N, D] to [E, E]; the last entry is N."""
    augmented_NE = augmented(features_ND)
    return augmented_NE.T @ augmented_NE


def mean_and_covariance(moment_EE: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean [D] and covariance [D, D] of the features that a moment [E, E] was summed over."""
    mean_EE = moment_EE / moment_EE[-1, -1]
    mean_D = mean_EE[:-1, -1]
    return mean_D, mean_EE[:-1, :-1] - torch.outer(mean_D, mean_D)


def ridge_weights(means: list[Tensor], penalty_D: Tensor) -> Tensor:
    """Solve W = (G + λ diag(G))⁻¹ C; the constant feature is not penalised.

    Args:
        means: for each of K modules, the mean of x xᵀ over its prompts, [E, E].
        penalty_D: λ of each feature.

    Returns:
        W, [E, K].
    """
    total_EE = torch.stack(means).sum(0)
    ridge_E = total_EE.diagonal().clamp_min(1e-12)
    ridge_E = torch.cat([penalty_D * ridge_E[:-1], ridge_E.new_zeros(1)])
    sums_EK = torch.stack([mean_EE[:, -1] for mean_EE in means], 1)
    return torch.linalg.solve(total_EE + torch.diag(ridge_E), sums_EK)


def hashed(features_ND: Tensor, width: int) -> Tensor:
    """Hash features into at most ``width`` by signed hashing (Weinberger et al. 2009, arXiv 0902.2206).

    Inner products are kept in expectation. Which feature goes where is fixed for ever.

    Args:
        features_ND: features, [N, D].
        width: greatest number of features.

    Returns:
        Features, [N, min(D, width)].
    """
    num_features = features_ND.shape[1]
    if num_features <= width:
        return features_ND
    drawn = random.Random("growlm ridge")
    places = torch.tensor([drawn.randrange(width) for _ in range(num_features)])
    signs = torch.tensor([drawn.choice((-1.0, 1.0)) for _ in range(num_features)], dtype=features_ND.dtype)
    return torch.zeros(len(features_ND), width, dtype=features_ND.dtype).index_add_(1, places, features_ND * signs)


def packed(symmetric_EE: Tensor) -> Tensor:
    """Return the upper triangle of a symmetric matrix, row by row, [E (E + 1) / 2]."""
    rows, columns = torch.triu_indices(*symmetric_EE.shape)
    return symmetric_EE[rows, columns]


def unpacked(triangle: Tensor, size: int) -> Tensor:
    """Return the symmetric matrix [E, E] of an upper triangle."""
    rows, columns = torch.triu_indices(size, size)
    symmetric_EE = torch.zeros(size, size, dtype=triangle.dtype)
    symmetric_EE[rows, columns] = triangle
    symmetric_EE[columns, rows] = triangle
    return symmetric_EE
