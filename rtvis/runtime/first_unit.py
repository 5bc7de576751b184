"""The unit that one sees first, where nobody has chosen one."""

from dataclasses import replace

from rtvis.runtime.composed import Composed
from rtvis.runtime.controller import Controller
from rtvis.session import Session, View


class FirstUnit:
    """Selects the unit that answers most to the first picture, once.

    Unit 0 would be zero everywhere as often as not, and a beginner's first sight a word about that.

    Args:
        session: Takes the selection, unless somebody has chosen meanwhile.
        controller: Scrolls to it.
    """

    def __init__(self, session: Session, controller: Controller) -> None:
        self._session, self._controller = session, controller
        self._is_found = False

    def look_at(self, composed: Composed) -> None:
        """Choose from a finished picture, if it is the first with a result. On the engine thread.

        Waits for the device, that one time.
        """
        if self._is_found or composed.result is None:
            return
        self._is_found = True
        # One that is flat everywhere, such as a bias that shows, tells nothing of the picture.
        maps_CHW = composed.result.maps_BCHW[0].float().nan_to_num()
        peak_C = maps_CHW.amax(dim=(1, 2))
        spread_C = peak_C - maps_CHW.mean(dim=(1, 2)) if maps_CHW[0].numel() > 1 else peak_C
        best = int(spread_C.argmax())
        layer = composed.result.selection.layer

        def choose(view: View) -> View:
            chosen = view.selection
            if chosen.unit is not None or chosen.layer not in {None, layer}:
                return view
            return replace(view, selection=replace(chosen, unit=best))

        if self._session.apply(choose).selection.unit == best:
            self._controller.show_selected()
