"""All that is known when a picture is drawn, put into one Scene."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from rtvis.render.scene import Binding, Half, Pair, Scene
from rtvis.runtime.compare import Rival
from rtvis.runtime.computing import Computing
from rtvis.runtime.difference import Arranger
from rtvis.runtime.figures import Figures
from rtvis.runtime.looked_at import LookedAt
from rtvis.runtime.turn_parts import EngineLike, LearningLike, MomentsLike
from rtvis.session import View
from rtvis.sources.base import Source
from rtvis.timing import CURRENT_S


class SceneMaker:
    """Gathers what is to be seen. Owned by the engine thread.

    Args:
        engine: What is said of the network.
        source: What is said of the source.
        looked: The frame.
        computing: Its numbers.
        figures: Those of the status line.
        rival: What network and source are compared with.
        moments: The best moments of the unit.
        bindings: Of keys, for the help.
        recording_note: What is said of the film.
    """

    def __init__(
        self,
        *,
        engine: EngineLike,
        source: Source,
        looked: LookedAt,
        computing: Computing,
        figures: Figures,
        rival: Rival | None,
        moments: MomentsLike | None,
        bindings: tuple[Binding, ...],
        recording_note: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._source = source
        self._looked = looked
        self._computing = computing
        self._figures = figures
        self._rival = rival
        self._moments = moments
        self.learning: LearningLike | None = None
        """What units have learned; set before the first turn by who owns it."""
        self._bindings = bindings
        self._recording_note = recording_note
        self._arranger = Arranger()

    @property
    def state(self) -> tuple[object, ...]:
        """What is on screen beside frame and View: changes when there is something to draw."""
        status = self._source.status()
        return (
            self._source.name,
            self._looked.age_s > CURRENT_S,
            status.state,
            status.message,
            self._engine.form,
            self._engine.compile_note,
            self._computing.faults.note,
            self._recording_note(),
            self._rival.state if self._rival is not None else (),
            self.learning.state if self.learning is not None else (),
            self._moments.state if self._moments is not None else 0,
        )

    def scene(
        self, view: View, *, now_ns: int, units_in_sight: range, whole: bool = False
    ) -> Scene:
        """What is to be seen now.

        Args:
            view: As it is to be drawn.
            now_ns: When that is.
            units_in_sight: Whose tiles the last picture had.
            whole: Wait for all that is known of units; else some of it comes with later scenes.
        """
        frame = self._looked.frame
        scene = Scene(
            view=view,
            layers=self._engine.layers,
            image_HW3=self._computing.image_HW3,
            mean_rgb=self._engine.mean_rgb,
            result=self._computing.result,
            weights=self._weights(view),
            labels=self._engine.labels,
            network=self._engine.network,
            source_name=self._source.name,
            picture_name=frame.name if frame is not None else "",
            source=self._source.status(),
            is_still=frame is not None and frame.is_still,
            rates=self._figures.read(),
            device=str(self._engine.device),
            form=self._engine.form,
            compile_note=self._engine.compile_note,
            weights_note=self._engine.weights_note,
            error_note=self._computing.faults.note,
            now_ns=now_ns,
            stale_since_ns=self._computing.stale_since_ns,
            bindings=self._bindings,
            recording_note=self._recording_note(),
        )
        scene = self._with_learned(scene, units_in_sight, whole=whole)
        return scene if self._rival is None else self._arranged(scene, self._rival)

    def _weights(self, view: View) -> Tensor | None:
        selection = self._computing.selection
        if view.page != "histogram" or selection is None or selection.layer is None:
            return None
        return self._engine.weights(selection.layer)

    def _with_learned(self, scene: Scene, units_in_sight: range, *, whole: bool) -> Scene:
        """What is known of the unit that this picture is about."""
        view, selection = scene.view, self._computing.selection
        if self._moments is not None:
            scene = replace(
                scene,
                moments=self._moments.shown(view, selection),
                pattern=self._moments.pattern(view, selection, units_in_sight, whole=whole),
            )
        if self.learning is None:
            return scene
        if whole:
            self.learning.settle(view, selection)
        return replace(
            scene,
            learned=self.learning.shown(view, selection),
            pattern=scene.pattern or self.learning.pattern(view, selection),
            jobs=self.learning.jobs,
        )

    def _arranged(self, scene: Scene, rival: Rival) -> Scene:
        """What the user wants to see of two that are compared."""
        result, frame = self._computing.result, self._looked.frame
        name = (frame.name if frame is not None else "") or self._source.name
        names = rival.names(self._engine, name)
        first = Half(name=names[0], image_HW3=scene.image_HW3, result=result, labels=scene.labels)
        second = self._computing.second or Half(
            name=names[1], image_HW3=None, result=None, trouble=rival.trouble
        )
        pair = Pair(first=first, second=second, same_classes=rival.same_classes(self._engine))
        layer = result.selection.layer if result is not None else None
        second_layer = rival.layer(self._engine, layer) if layer is not None else None
        networks = dict.fromkeys((scene.network, rival.network(self._engine)))
        sources = dict.fromkeys((scene.source_name, rival.source_name(self._source.name)))
        scene = replace(
            scene,
            network=" and ".join(networks),
            weights_note=rival.weights_note(self._engine),
            source_name=" and ".join(sources),
            is_still=scene.is_still and (second.frame is None or second.frame.is_still),
            # Of two pictures both names are below them.
            picture_name=scene.picture_name if len(sources) == 1 else "",
        )
        return self._arranger.arrange(scene, pair, second_layer=second_layer)
