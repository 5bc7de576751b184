"""What a live run shows at its start: the view and selection that flags and files name."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rtvis.config import Config
from rtvis.errors import SelectionError

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rtvis.data import Selection
    from rtvis.engine.engine import Engine
    from rtvis.session import View


def view_of(config: Config, *, clickable: bool) -> "View":
    """What flags and files want to see, but for the selection.

    Args:
        clickable: There is a window: the first-run line says what a click does.

    Raises:
        ConfigError: A key or value of a file is wrong; says where.
    """
    from rtvis.render.text import check_font
    from rtvis.session import View
    from rtvis.state import restored

    view = View(
        canvas_size=config.output.canvas,
        num_top=config.output.top,
        ui_scale=config.output.ui_scale,
        panes_shown=config.output.show_panes,
        growing=config.learned.grow,
        hint_shown=clickable,
    )
    view = restored(view, config.sections)
    check_font(view.theme.font)
    return view


def with_selection(view: "View", config: Config, engine: "Engine") -> "View":
    """The view with the selection of flags and files, checked.

    Raises:
        SelectionError: The network does not have what they name; says which file, if one does.
    """
    from rtvis.data import Selection
    from rtvis.state import restored

    sections = config.sections
    view = restored(replace(view, selection=_selection(config, engine)), sections)
    try:
        resolved = engine.resolve(view.selection)
    except SelectionError as fault:
        try:
            engine.resolve(restored(replace(view, selection=Selection()), sections).selection)
        except SelectionError:
            _, where = next(iter(sections.selection.values()))
            raise SelectionError(f"{where.rpartition('.')[0]}: {fault}") from fault
        raise
    return replace(view, selection=_by_shown_names(view.selection, resolved))


def _by_shown_names(chosen: "Selection", resolved: "Selection") -> "Selection":
    """Layers by the names that the screen has; what is open stays open: a default may change."""
    return replace(
        chosen,
        layer=chosen.layer and resolved.layer,
        cam_layer=chosen.cam_layer and resolved.cam_layer,
        origin=resolved.origin,
        interventions=resolved.interventions,
    )


def _selection(config: Config, engine: "Engine") -> "Selection":
    """The selection that the flags name."""
    from rtvis.data import Selection
    from rtvis.engine.networks.labels import class_index

    wanted, named = config.selection, config.selection.class_
    index = None if named is None else class_index(named, engine.labels, network=engine.network)
    return Selection(
        layer=wanted.layer,
        unit=wanted.unit,
        position=wanted.position,
        seed=wanted.seed,
        tap=wanted.tap,
        rule=wanted.rule,
        class_index=index,
        cam=wanted.cam,
        cam_layer=wanted.cam_layer,
        region=wanted.region,
        fit=wanted.fit,
    )
