"""Which networks the methods that explain by attention can explain."""

from collections.abc import Sequence

from rtvis.engine.layers.queries import stack_of
from rtvis.engine.layers.site import Site
from rtvis.registry import AttentionMethod


def fault_of(method: AttentionMethod, sites: Sequence[Site]) -> str:
    """Why a method cannot explain a network, in words that follow its name; empty if it can."""
    stack = stack_of(sites)
    if not stack:
        return "has no attention over patches"
    for site in stack:
        attention = site.attention
        assert attention is not None
        if attention.num_windows > 1:
            return f"attends within {attention.num_windows} windows at '{site.layer.name}'"
    grids = dict.fromkeys("{}x{}".format(*site.layer.map_size) for site in stack)
    if len(grids) > 1:
        return f"attends over several grids: {', '.join(grids)}"
    keys = {(site.rows, site.attention and site.attention.num_keys) for site in stack}
    if len(keys) > 1:
        return "attends with the class token in some layers only"
    others = [site for site in stack if site.attention and not site.attention.same_tokens]
    if method.needs_same_tokens and others:
        return f"gathers tokens by other queries at '{others[0].layer.name}'"
    return ""
