"""Names to things. A name is written once, where the thing is defined."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from torch import Tensor

from rtvis.errors import RtvisError, SelectionError, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names of one kind of thing, in the order of registration.

    Looking up an unknown name raises `error` with the nearest known name in its text.
    """

    def __init__(self, kind: str, *, error: type[RtvisError] = SelectionError) -> None:
        self.kind = kind
        self._error = error
        self._things: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """A decorator that registers what it decorates as `name`."""

        def register(thing: T) -> T:
            assert name not in self._things, f"{self.kind} '{name}' is registered twice"
            self._things[name] = thing
            return thing

        return register

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            known = ", ".join(self._things)
            raise self._error(
                f"unknown {self.kind} '{name}'{did_you_mean(name, self._things)}; "
                f"there are: {known}"
            )
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)


CamMethod: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(maps_BCHW, grads_BCHW) -> cam_BHW: not negative, not scaled to a range."""

CAM_METHODS: Registry[CamMethod] = Registry("CAM method")
"""Filled by the modules of `rtvis.methods` when that package is imported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionMethod:
    """A method that explains a score by the attention of all layers at once, instead of a CAM."""

    explain: Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], Tensor]
    """(attention_BCQT of each layer, their gradients, query_BQ) -> relevance_BT: not negative, not
    scaled to a range. Units are heads, Q queries, T tokens; `query_BQ` weighs the queries of the
    last layer by how the scores read them."""
    uses_gradients: bool
    """Whether it is given gradients; else there are none of them."""
    needs_same_tokens: bool
    """Whether query i must be token i in every layer."""
    has_floor: bool = False
    """Whether every token keeps some relevance, so that a picture shows what is above the least."""


ATTENTION_METHODS: Registry[AttentionMethod] = Registry("attention method")
"""Filled as `CAM_METHODS`; no name is in both."""


AnyMethod: TypeAlias = CamMethod | AttentionMethod


def method_named(name: str) -> AnyMethod:
    """The method of one or the other kind.

    Raises:
        SelectionError: There is none, with the nearest name.
    """
    if name in ATTENTION_METHODS:
        return ATTENTION_METHODS[name]
    if name not in CAM_METHODS:
        known = [*CAM_METHODS, *ATTENTION_METHODS]
        raise SelectionError(
            f"unknown CAM method '{name}'{did_you_mean(name, known)}; there are: {', '.join(known)}"
        )
    return CAM_METHODS[name]
