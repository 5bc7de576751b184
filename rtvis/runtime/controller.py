"""Keys and clicks become commands on the Session."""

from collections.abc import Callable
from dataclasses import replace
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
from rtvis.runtime.commands import selecting
from rtvis.runtime.commands.context import Context
from rtvis.runtime.drawn import Drawn
from rtvis.runtime.pointing import Change, clicked, wheeled
from rtvis.session import Session, View

_NOWHERE = Target(kind="none")


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
        self.cam_methods = cam_methods
        self._lay_out = lay_out
        self._do = do
        self._keys = by_key(bindings)
        self._buttons = by_button(bindings)
        self._bindings = tuple(bindings)
        self._help = help_lines(bindings)
        self._help_key = key_of("toggle help", bindings)
        self._pressed: tuple[int, int] | None = None
        """The pixel of a dense output at which the left button went down."""
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
                self._drag(event, drawn.layout)
            case "leave":
                self._session.update(hover=_NOWHERE)
            case "wheel":
                self._make(wheeled(target, drawn.layout, self._context(), event.wheel_steps))
            case "down" | "double":
                self._pressed = None
                if event.button != "left":
                    return
                if target.kind == "pixel":
                    self._pressed = target.position
                if view.help_shown:
                    self._click_help(target)
                else:
                    self.click(target, twice=event.kind == "double")
            case _:
                assert_never(event.kind)

    def _drag(self, event: PointerEvent, layout: Layout) -> None:
        """Explain what lies between the pixel that was pressed and the one that is pointed at."""
        corner = self._pressed
        if event.button != "left" or corner is None or layout.pixels is None:
            self._pressed = None
            return
        region = self._session.read()[0].selection.region
        opposite = layout.pixels.nearest(event.x, event.y)
        # A hand that trembles within a pixel has clicked it; one that came back has not.
        if opposite != corner or (region is not None and region[2:] != (1, 1)):
            self._change(
                lambda view: replace(
                    selecting.select_region(view, corner, opposite), hint_shown=False
                )
            )

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

    def click(self, target: Target, *, twice: bool = False) -> None:
        """Do what a click on something means, or the second of two quick ones."""
        if self.drawn is None:
            return
        if target.kind in {"rule", "pane"}:
            binding = self._buttons.get(target.pane.removeprefix("button:"))
            if target.pane.startswith("button:") and binding is not None:
                self._run(binding)
            return
        self._make(clicked(target, self.drawn, self._context(), twice=twice))

    def _make(self, change: Change | None) -> None:
        if change is not None:
            self._change(change.command, follow=change.follow)

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
            cam_methods=self.cam_methods,
            home=self._home,
            num_columns=grid.num_cols if grid is not None else 1,
            readout=self.drawn.readout if self.drawn is not None else Readout(),
            is_dense=self.drawn is not None and self.drawn.layout.pixels is not None,
        )
