"""Keys and clicks become commands on the Session."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

from rtvis.data import (
    ClosedEvent,
    Event,
    KeyEvent,
    Layer,
    PointerEvent,
    ResizeEvent,
    ShownEvent,
    Target,
)
from rtvis.render.help_table import help_line, help_target, lay_help
from rtvis.render.layout import Layout
from rtvis.render.moment_numbers import moments_of
from rtvis.render.pages import PAGES
from rtvis.render.readout import Readout
from rtvis.runtime.bindings import (
    BINDINGS,
    Effect,
    KeyBinding,
    by_button,
    by_key,
    help_lines,
    key_of,
)
from rtvis.runtime.commands import changing, selecting, tracing
from rtvis.runtime.commands.context import Context
from rtvis.session import Session, TopInput, View

_NOWHERE = Target(kind="none")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the user sees: needed to tell what lies under the pointer."""

    layout: Layout
    top: tuple[int, ...] = ()
    """Class indices in the rows of the list of classes."""
    readout: Readout = field(default_factory=Readout)
    """The numbers in the text."""

    def hit(self, x: int, y: int) -> Target:
        """What lies under a pixel."""
        target = self.layout.hit(x, y, classes=self.top)
        if target.kind == "pane" and target.pane == "details":
            return PAGES[self.layout.page].hit(self.layout, self.readout, x, y) or target
        return target


class Controller:
    """Turns events into commands. Owned by the thread that polls the window.

    Args:
        session: Takes the commands.
        layers: Of the network.
        default_layer: Index of the layer that a Selection without one means.
        cam_methods: Names to cycle through.
        lay_out: Where everything lies for a View; used to keep the selection in sight.
        do: Carries out what reaches beyond the View.
        bindings: The table of keys and buttons.
    """

    def __init__(
        self,
        session: Session,
        *,
        layers: tuple[Layer, ...],
        default_layer: int,
        cam_methods: tuple[str, ...],
        lay_out: Callable[[View], Layout],
        do: Callable[[Effect], None],
        bindings: tuple[KeyBinding, ...] = BINDINGS,
    ) -> None:
        self._session = session
        self._layers = layers
        self._home = session.read()[0].selection
        self._default_layer = default_layer
        self._cam_methods = cam_methods
        self._lay_out = lay_out
        self._do = do
        self._keys = by_key(bindings)
        self._buttons = by_button(bindings)
        self._bindings = tuple(bindings)
        self._help = help_lines(bindings)
        self._help_key = key_of("toggle help", bindings)
        self.drawn: Drawn | None = None
        """Replaced by the engine thread with each picture, read here; never changed in place."""

    def handle(self, event: Event) -> None:
        """Do what the event asks for. Closing and shown pictures are the runtime's own matter."""
        match event:
            case KeyEvent():
                self._key(event.key)
            case PointerEvent():
                self._pointer(event)
            case ResizeEvent():
                self._change(
                    lambda view: replace(view, canvas_size=(event.height, event.width)),
                    follow=True,
                )
            case ClosedEvent() | ShownEvent():
                pass
            case _:
                assert_never(event)

    def asks_to_leave(self, event: Event) -> bool:
        """Whether this is the key that ends the program."""
        binding = self._keys.get(event.key) if isinstance(event, KeyEvent) else None
        return binding is not None and binding.action == "leave"

    def _key(self, key: str) -> None:
        view, _ = self._session.read()
        binding = self._keys.get(key)
        if binding is None:
            hint = f"; {self._help_key} shows the keys" if self._help_key else ""
            self._session.update(
                notice=f"the key {key} does nothing{hint}", notice_is_warning=False
            )
            return
        if view.help_shown and binding.action == "leave":
            self._session.update(help_shown=False)
            return
        self._run(binding)

    def _run(self, binding: KeyBinding) -> None:
        action = binding.action
        if isinstance(action, str):
            self._do(action)
            return
        context = self._context()
        self._change(lambda view: action(view, context), follow=True)

    def _pointer(self, event: PointerEvent) -> None:
        drawn = self.drawn
        if drawn is None:
            return
        view, _ = self._session.read()
        target = drawn.hit(event.x, event.y)
        if view.help_shown:
            target = self._help_target(drawn, event.x, event.y)
        match event.kind:
            case "move":
                self._session.update(hover=target)
            case "leave":
                self._session.update(hover=_NOWHERE)
            case "wheel":
                self._wheel(drawn.layout, target, event.wheel_steps)
            case "down" | "double":
                if event.button != "left":
                    return
                if view.help_shown:
                    self._click_help(target)
                else:
                    self._click(target, twice=event.kind == "double")
            case _:
                assert_never(event.kind)

    def _help_target(self, drawn: Drawn, x: int, y: int) -> Target:
        """The line of the help under the pointer."""
        table = lay_help(self._help, drawn.layout.metrics, drawn.layout.size)
        index = table.at(x, y)
        return _NOWHERE if index is None else help_target(index)

    def _click_help(self, target: Target) -> None:
        """Do what the line says, or nothing; the help goes away."""
        index = help_line(target)
        self._session.update(help_shown=False, hover=_NOWHERE)
        if index is not None:
            listed = [binding for binding in self._bindings if binding.keys]
            if listed[index].name != "toggle help":  # it is gone already
                self._run(listed[index])

    def _click(self, target: Target, *, twice: bool) -> None:
        context = self._context()
        match target.kind:
            case "unit":
                self._click_unit(target, context)
            case "pair":
                self._click_pair(target, context)
            case "position":
                self._click_position(target, context)
            case "pixel":
                self._click_pixel(target)
            case "layer":
                self._click_layer(target, context)
            case "class":
                self._click_class(target, context, twice=twice)
            case "change":
                self._click_change(target)
            case "start":
                self._click_start(target, context)
            case "rule" | "pane":
                binding = self._buttons.get(target.pane.removeprefix("button:"))
                if target.pane.startswith("button:") and binding is not None:
                    self._run(binding)
            case "moment" | "top" | "none":
                self._click_picture(target)
            case _:
                assert_never(target.kind)

    def _click_unit(self, target: Target, context: Context) -> None:
        assert target.layer is not None
        assert target.unit is not None
        select = partial(selecting.select_seen, layer=target.layer, unit=target.unit)
        self._change(
            lambda view: replace(select(view, context), cursor="grid", hint_shown=False),
            follow=target.pane != "grid",  # in the grid it is in sight
        )

    def _click_pair(self, target: Target, context: Context) -> None:
        """Select the unit of the row, or of the column where that of the row is selected."""
        view, _ = self._session.read()
        again = (view.selection.unit or 0) == target.unit
        unit = target.other_unit if again else target.unit
        self._click_unit(replace(target, kind="unit", unit=unit, other_unit=None), context)

    def _click_position(self, target: Target, context: Context) -> None:
        assert target.layer is not None
        assert target.unit is not None
        assert target.position is not None
        choose = partial(
            selecting.toggle_position,
            layer=target.layer,
            unit=target.unit,
            position=target.position,
        )
        self._change(lambda view: replace(choose(view, context), hint_shown=False))

    def _click_start(self, target: Target, context: Context) -> None:
        assert target.layer is not None
        assert target.unit is not None
        start = partial(tracing.toggle_start, layer=target.layer, unit=target.unit)
        self._change(lambda view: replace(start(view, context), hint_shown=False))

    def _click_picture(self, target: Target) -> None:
        """Look at it in the place of the source, or no more; elsewhere nothing."""
        if target.kind == "top":
            self._click_top(target)
        elif target.kind == "moment":
            self._click_moment(target)

    def _click_moment(self, target: Target) -> None:
        moments = moments_of(self.drawn.readout) if self.drawn is not None else ()
        if target.place is None or target.place >= len(moments):
            return
        frame = moments[target.place].frame
        self._change(
            lambda view: replace(
                view, moment=None if view.moment == frame else frame, top_input=None
            )
        )

    def _click_top(self, target: Target) -> None:
        """One of the best inputs of a data set."""
        layout = self.drawn.layout if self.drawn is not None else None
        if layout is None or layout.layer is None or target.place is None:
            return
        top = TopInput(layer=layout.layer.name, unit=layout.unit, place=target.place)
        self._change(
            lambda view: replace(
                view, top_input=None if view.top_input == top else top, moment=None
            )
        )

    def _click_pixel(self, target: Target) -> None:
        pixel = target.position
        assert pixel is not None
        self._change(lambda view: replace(selecting.toggle_pixel(view, pixel), hint_shown=False))

    def _click_layer(self, target: Target, context: Context) -> None:
        index = next(layer.index for layer in self._layers if layer.name == target.layer)
        self._change(
            lambda view: replace(selecting.select_layer(view, context, index), cursor="layers"),
            follow=True,
        )

    def _click_class(self, target: Target, context: Context, *, twice: bool) -> None:
        chosen = target.class_index
        assert chosen is not None
        if twice:
            self._change(
                lambda view: selecting.explain_class_unit(view, context, chosen), follow=True
            )
        else:
            self._change(lambda view: selecting.toggle_class(view, chosen))

    def _click_change(self, target: Target) -> None:
        assert target.layer is not None
        assert target.unit is not None
        remove = partial(changing.remove, layer=target.layer, unit=target.unit)
        self._change(remove)

    def _wheel(self, layout: Layout, target: Target, steps_up: int) -> None:
        if target.pane == "details":
            self._wheel_over_details(target, steps_up)
        else:
            self._scroll(layout, target.pane, -steps_up)

    def _wheel_over_details(self, target: Target, steps: int) -> None:
        """Over a change of the list: that one; elsewhere on its page: the selected unit."""
        context = self._context()

        def turn(view: View) -> View:
            if view.page != "changes":
                return view
            layer, unit = target.layer, target.unit
            if target.kind != "change" or layer is None or unit is None:
                layer, unit = context.layer(view).name, view.selection.unit or 0
            return changing.nudge(view, context, layer, unit, steps=steps)

        self._change(turn)

    def _scroll(self, layout: Layout, pane: str, rows: int) -> None:
        if pane == "layers":
            limit = layout.max_layer_scroll
            self._session.apply(
                lambda view: replace(
                    view, layer_scroll=min(max(view.layer_scroll + rows, 0), limit)
                )
            )
        elif pane == "grid":
            limit = layout.max_grid_scroll
            self._session.apply(
                lambda view: replace(view, grid_scroll=min(max(view.grid_scroll + rows, 0), limit))
            )

    def _change(self, command: Callable[[View], View], *, follow: bool = False) -> None:
        """Apply a command; `follow` brings the selection into sight if the command moved it."""

        def change(view: View) -> View:
            changed = command(view)
            moved = (
                changed.selection.layer != view.selection.layer
                or changed.selection.unit != view.selection.unit
                or changed.canvas_size != view.canvas_size
                or changed.zoom != view.zoom
                or changed.column_shown != view.column_shown
            )
            return self._in_sight(changed) if follow and moved else changed

        self._session.apply(change)

    def show_selected(self) -> None:
        """Scroll to the selected layer and unit, as at the start, where nobody chose a place."""
        self._session.apply(self._in_sight)

    def _in_sight(self, view: View) -> View:
        layout = self._lay_out(view)
        context = self._context()
        return replace(
            view,
            grid_scroll=layout.grid_scroll_to(view.selection.unit or 0),
            layer_scroll=layout.layer_scroll_to(context.layer(view).name),
        )

    def _context(self) -> Context:
        grid = self.drawn.layout.grid if self.drawn is not None else None
        return Context(
            layers=self._layers,
            default_layer=self._default_layer,
            cam_methods=self._cam_methods,
            home=self._home,
            num_columns=grid.num_cols if grid is not None else 1,
            readout=self.drawn.readout if self.drawn is not None else Readout(),
            is_dense=self.drawn is not None and self.drawn.layout.pixels is not None,
        )
