"""The real window, on a screen of its own, driven as a user would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from torch import Tensor, nn

from rtvis.data import (
    ClosedEvent,
    Event,
    KeyEvent,
    Picture,
    PointerEvent,
    ResizeEvent,
    Selection,
    ShownEvent,
)
from rtvis.errors import SinkError
from rtvis.render.compositor import Compositor
from rtvis.render.grid import Rect
from rtvis.render.layout import layout
from rtvis.runtime.outcome import Summary
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import Session, View
from rtvis.sinks import x_keys
from rtvis.sinks.keys import key_name
from rtvis.sinks.window import WindowSink, why_no_window
from rtvis.sinks.window_child import Placement
from rtvis.sources import open_source
from tests.nets import engine_of, seeded
from tests.nets_fake import FakeCompositor, FakeEngine, FakeSource, FlowingSource
from tests.waiting import wait_for
from tests.xvfb import Screen

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """An X server that is the test's display."""
    with Screen() as screen:
        monkeypatch.setenv("DISPLAY", screen.name)
        yield screen


def quarters(size: tuple[int, int] = (800, 1280), seq: int = 0) -> Picture:
    """Red, green, blue and grey quarters."""
    height, width = size
    canvas_HW3 = np.full((height, width, 3), 128, np.uint8)
    canvas_HW3[: height // 2, : width // 2] = RED
    canvas_HW3[: height // 2, width // 2 :] = GREEN
    canvas_HW3[height // 2 :, : width // 2] = BLUE
    return Picture(canvas_HW3=canvas_HW3, seq=seq, frame_seq=seq, captured_ns=time.monotonic_ns())


def events_until(
    sink: WindowSink, done: Callable[[list[Event]], bool], timeout_s: float = 10.0
) -> list[Event]:
    """Events as they come, until `done` says so."""
    seen: list[Event] = []
    until_s = time.monotonic() + timeout_s
    while not done(seen):
        assert time.monotonic() < until_s, f"only {seen}"
        seen += sink.poll(0.1)
    return seen


def has(kind: type) -> Callable[[list[Event]], bool]:
    return lambda events: any(isinstance(event, kind) for event in events)


def show(sink: WindowSink, picture: Picture) -> None:
    sink.show(picture)
    events_until(
        sink,
        lambda events: any(isinstance(e, ShownEvent) and e.seq == picture.seq for e in events),
    )


def photo_of(
    screen: Screen, size: tuple[int, int], path: Path, done: Callable[[np.ndarray], bool]
) -> np.ndarray:
    """The upper left of the screen once it satisfies `done`, or what it is after a while: the X
    server paints when it gets round to it."""
    until_s = time.monotonic() + 10
    while True:
        photo = screen.photograph(path / "screen.png")[: size[0], : size[1]]
        if done(photo) or time.monotonic() > until_s:
            return photo
        time.sleep(0.05)


def same(canvas_HW3: np.ndarray) -> Callable[[np.ndarray], bool]:
    return lambda photo: photo.shape == canvas_HW3.shape and bool((photo == canvas_HW3).all())


# Without a screen


def test_without_a_display_the_reason_names_what_would_do() -> None:
    reason = why_no_window({})
    assert "there is no display" in reason
    assert "--view none --record FILE" in reason
    with pytest.raises(SinkError, match="there is no display"):
        WindowSink()


def test_a_build_without_windows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtvis.sinks.window.cv2.currentUIFramework", lambda: "")
    assert "built without windows" in why_no_window({"DISPLAY": ":0"})


def test_a_display_that_is_not_there_is_an_error_not_an_abort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":98765")
    with pytest.raises(SinkError, match="could not be opened") as caught:
        WindowSink()
    assert "\n" not in str(caught.value)


def test_keys_have_names_and_modifiers_none() -> None:
    codes = {97: "a", 65: "a", 65361: "left", 65366: "page-down", 27: "escape", 32: "space"}
    assert {code: key_name(code) for code in codes} == codes
    assert (key_name(65470), key_name(65481), key_name(9)) == ("f1", "f12", "tab")
    assert [key_name(code) for code in (-1, 65505, 65507, 65513)] == [None] * 4
    assert key_name(70000) == "key-70000"


def test_a_canvas_is_centred_in_a_window_of_another_shape() -> None:
    # 400 x 400 into 400 x 800: as it is, with 200 columns at both sides.
    place = Placement((400, 400), (400, 800))
    image = place.draw(np.full((400, 400, 3), 200, np.uint8))
    assert image.shape == (400, 800, 3)
    assert (image[:, 199].max(), image[0, 200, 0], image[399, 599, 0]) == (26, 200, 200)
    assert place.to_canvas(200, 0) == (0, 0)
    assert place.to_canvas(599, 399) == (399, 399)
    assert place.to_canvas(0, 0) == (0, 0), "beside it counts as its edge"
    # 400 x 400 into 200 x 300: half as large, 50 columns at both sides.
    assert Placement((400, 400), (200, 300)).to_canvas(150, 100) == (200, 200)


# With one


@pytest.mark.window
def test_the_picture_is_on_the_screen_pixel_for_pixel(screen: Screen, tmp_path: Path) -> None:
    with WindowSink(size=(800, 1280)) as sink:
        show(sink, quarters())
        canvas_HW3 = quarters().canvas_HW3
        photo = photo_of(screen, (800, 1280), tmp_path, same(canvas_HW3))
        assert (photo == canvas_HW3).all()


SHARED_CONNECTION = """
import ctypes
from rtvis.sinks.window_child import let_qt_own_the_events

assert let_qt_own_the_events()
x, xcb = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libxcb.so.1")
shared = ctypes.CDLL(None)  # what every library finds that is loaded from now on
x.XOpenDisplay.restype = shared.XGetXCBConnection.restype = ctypes.c_void_p
x.XDefaultRootWindow.restype = ctypes.c_ulong
xcb.xcb_poll_for_event.restype = ctypes.POINTER(ctypes.c_uint8)
display = ctypes.c_void_p(x.XOpenDisplay(None))
connection = ctypes.c_void_p(shared.XGetXCBConnection(display))
shared.XSetEventQueueOwner(display, 1)  # as Qt does: xcb owns the events
root = ctypes.c_ulong(x.XDefaultRootWindow(display))
x.XSelectInput(display, root, ctypes.c_long(1 << 22))  # PropertyChangeMask
x.XStoreName(display, root, b"name")
x.XSync(display, 0)
print("libX11", x.XPending(display), "xcb", xcb.xcb_poll_for_event(connection)[0])
"""


@pytest.mark.window
def test_libx11_leaves_the_events_to_qt(screen: Screen) -> None:
    # The libX11-xcb that comes with opencv-python makes this "libX11 1" and a null pointer.
    done = subprocess.run(
        [sys.executable, "-c", SHARED_CONNECTION],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    # 28: PropertyNotify
    assert (done.stdout, done.stderr) == ("libX11 0 xcb 28\n", "")


@pytest.mark.window
def test_the_title_may_hold_any_character(screen: Screen) -> None:
    with WindowSink(title="rtvis · Büro – 日本"):
        window = screen.window("rtvis · ")
        assert screen.do("getwindowname", window) == "rtvis · Büro – 日本"


@pytest.mark.window
def test_the_newest_picture_is_shown_and_the_others_are_skipped(
    screen: Screen, tmp_path: Path
) -> None:
    with WindowSink() as sink:
        for seq in range(200):
            sink.show(quarters(seq=seq))
        events = events_until(
            sink,
            lambda events: any(
                isinstance(event, ShownEvent) and event.seq == 199 for event in events
            ),
        )
        shown = [event for event in events if isinstance(event, ShownEvent)]
        assert len(shown) < 100
        assert [event.seq for event in shown] == sorted(event.seq for event in shown)
        assert all(event.shown_ns > event.captured_ns for event in shown)


@pytest.mark.window
def test_keys_arrive_by_name(screen: Screen) -> None:
    with WindowSink() as sink:
        show(sink, quarters())
        screen.do("mousemove", 600, 300)
        keys = "b Left Down Prior Tab space Escape F1 question Return Home shift+g"
        names = "b left down page-up tab space escape f1 ? enter home g"
        for key, name in zip(keys.split(), names.split(), strict=True):
            screen.do("key", key)
            events = events_until(sink, has(KeyEvent))
            assert [event.key for event in events if isinstance(event, KeyEvent)] == [name]


@pytest.mark.window
@pytest.mark.parametrize("delay_ms", [0, 20])
def test_every_key_of_a_burst_arrives_in_order_though_the_window_is_busy(
    screen: Screen, delay_ms: int
) -> None:
    # Of the keys within one pass of Qt's event loop OpenCV keeps the last alone.
    typed = "abcdefghijklmnopqrstuvwxyz,.;aabb"
    with WindowSink(size=(1080, 1920)) as sink:
        show(sink, quarters((1080, 1920)))
        screen.do("mousemove", 600, 300)
        typing = threading.Thread(target=screen.do, args=("type", "--delay", delay_ms, typed))
        typing.start()
        pressed, seq = "", 0
        until_s = time.monotonic() + 15
        while len(pressed) < len(typed) and time.monotonic() < until_s:
            seq += 1
            sink.show(quarters((1080, 1920), seq))  # each takes the child a while
            pressed += "".join(e.key for e in sink.poll(0.005) if isinstance(e, KeyEvent))
        typing.join()
        pressed += "".join(e.key for e in sink.poll(0.1) if isinstance(e, KeyEvent))
        assert pressed == typed


def test_x_s_keys_have_opencv_s_codes() -> None:
    for name, code in ((0xFF0D, 13), (0xFF1B, 27), (0xFFB5, 53), (ord("G"), 103), (63, 63)):
        assert x_keys._code(name) == code
    assert key_name(x_keys._code(0xFF51)) == "left"
    assert key_name(x_keys._code(0xFFBE)) == "f1"
    assert key_name(x_keys._code(0xFFE1)) is None, "Shift alone"
    assert key_name(x_keys._code(0xFF9F)) == "delete"
    assert key_name(x_keys._code(0xFFAD)) == "-"


@pytest.mark.window
def test_the_pointer_arrives_in_pixels_of_the_canvas(screen: Screen) -> None:
    with WindowSink(size=(800, 1280)) as sink:
        show(sink, quarters())
        screen.do("mousemove", 333, 222, "click", 1)
        events = events_until(
            sink, lambda events: any(getattr(e, "kind", "") == "down" for e in events)
        )
        assert PointerEvent(kind="down", x=333, y=222, button="left") in events
        assert PointerEvent(kind="move", x=333, y=222) in events
        screen.do("mousemove", 900, 700, "click", "--repeat", 2, "--delay", 40, 1)
        events_until(
            sink,
            lambda events: PointerEvent(kind="double", x=900, y=700, button="left") in events,
        )
        screen.do("click", 3)
        events_until(
            sink,
            lambda events: PointerEvent(kind="down", x=900, y=700, button="right") in events,
        )


@pytest.mark.window
def test_moving_tells_whether_the_left_button_is_held(screen: Screen) -> None:
    with WindowSink(size=(800, 1280)) as sink:
        show(sink, quarters())
        screen.do("mousemove", 300, 200, "mousedown", 1, "mousemove", 340, 260)
        held = PointerEvent(kind="move", x=340, y=260, button="left")
        events = events_until(sink, lambda events: held in events)
        assert PointerEvent(kind="down", x=300, y=200, button="left") in events
        screen.do("mouseup", 1, "mousemove", 360, 280)
        free = PointerEvent(kind="move", x=360, y=280)
        events_until(sink, lambda events: free in events)


@pytest.mark.window
def test_a_double_click_is_one_press_and_one_double_press(screen: Screen) -> None:
    with WindowSink(size=(800, 1280)) as sink:
        show(sink, quarters())
        screen.do("mousemove", 900, 700, "click", "--repeat", 2, "--delay", 40, 1)
        screen.do("click", 3)  # whatever comes with the second press is there before this
        right = PointerEvent(kind="down", x=900, y=700, button="right")
        events = events_until(sink, lambda events: right in events)
        kinds = [e.kind for e in events if isinstance(e, PointerEvent) and e.button == "left"]
        assert kinds == ["down", "double"]


@pytest.mark.window
def test_the_wheel_scrolls_and_does_not_zoom(screen: Screen, tmp_path: Path) -> None:
    # OpenCV's Qt window zooms into the picture on every turn of the wheel.
    with WindowSink(size=(800, 1280)) as sink:
        show(sink, quarters())
        screen.do("mousemove", 300, 200)
        time.sleep(0.2)
        sink.poll()
        for _ in range(5):
            screen.do("click", 4)
        screen.do("click", 5)

        def steps(events: list[Event]) -> list[int]:
            return [
                event.wheel_steps
                for event in events
                if isinstance(event, PointerEvent) and event.kind == "wheel"
            ]

        events = events_until(sink, lambda events: len(steps(events)) == 6)
        assert steps(events) == [1, 1, 1, 1, 1, -1]
        time.sleep(0.3)
        canvas_HW3 = quarters().canvas_HW3
        assert (photo_of(screen, (800, 1280), tmp_path, same(canvas_HW3)) == canvas_HW3).all()


@pytest.mark.window
@pytest.mark.parametrize(
    ("window", "canvas"),
    [((600, 900), (600, 900)), ((900, 1500), (900, 1500)), ((300, 400), (480, 640))],
)
def test_a_resized_window_asks_for_a_canvas_of_its_size(
    screen: Screen, tmp_path: Path, window: tuple[int, int], canvas: tuple[int, int]
) -> None:
    with WindowSink(size=(800, 1280)) as sink:
        show(sink, quarters())
        screen.do("windowsize", screen.window(), window[1], window[0])
        events = events_until(sink, has(ResizeEvent))
        resized = [event for event in events if isinstance(event, ResizeEvent)]
        assert (resized[-1].height, resized[-1].width) == canvas
        show(sink, quarters(canvas, seq=1))
        if window == canvas:
            canvas_HW3 = quarters(canvas).canvas_HW3
            photo = photo_of(screen, window, tmp_path, same(canvas_HW3))
            assert (photo == canvas_HW3).all(), "crisp: nothing is scaled"
        else:
            photo = photo_of(screen, window, tmp_path, lambda photo: photo[100, 100].any())
            assert tuple(photo[100, 100]) == RED
            assert tuple(photo[window[0] - 20, 100]) == BLUE


@pytest.mark.window
def test_the_close_button_is_an_event(screen: Screen) -> None:
    with WindowSink() as sink:
        show(sink, quarters())
        close_politely(screen)
        events = events_until(sink, has(ClosedEvent))
        assert events[-1] == ClosedEvent(reason="the window was closed")
        sink.show(quarters(seq=1))
        assert sink.poll(0.05) == []


def close_politely(screen: Screen) -> None:
    """What a window manager sends when its close button is pressed."""
    program = f"""
import ctypes
class Message(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send", ctypes.c_int),
                ("display", ctypes.c_void_p), ("window", ctypes.c_ulong),
                ("kind", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
                ("pad", ctypes.c_long * 24)]
x = ctypes.CDLL("libX11.so.6")
x.XOpenDisplay.restype = ctypes.c_void_p
x.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
x.XInternAtom.restype = ctypes.c_ulong
display = x.XOpenDisplay(b"{screen.name}")
protocols = x.XInternAtom(display, b"WM_PROTOCOLS", 0)
delete = x.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
message = Message(type=33, window={screen.window()}, kind=protocols, format=32)
message.data[0] = delete
x.XSendEvent.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long,
                         ctypes.c_void_p]
x.XSendEvent(display, {screen.window()}, 0, 0, ctypes.byref(message))
x.XFlush.argtypes = [ctypes.c_void_p]
x.XFlush(display)
x.XCloseDisplay.argtypes = [ctypes.c_void_p]
x.XCloseDisplay(display)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


@pytest.mark.window
def test_a_lost_display_is_an_event_with_a_reason(screen: Screen) -> None:
    with WindowSink() as sink:
        show(sink, quarters())
        screen.server.kill()
        (event,) = events_until(sink, has(ClosedEvent))
        assert isinstance(event, ClosedEvent)
        assert event.reason.startswith("the display went away")
        sink.show(quarters(seq=1))


@pytest.mark.window
def test_the_death_of_the_windows_process_is_an_event(screen: Screen) -> None:
    with WindowSink() as sink:
        show(sink, quarters())
        os.kill(sink.pid, signal.SIGKILL)
        (event,) = events_until(sink, has(ClosedEvent))
        assert isinstance(event, ClosedEvent)
        assert event.reason == "the display went away"


@pytest.mark.window
def test_the_window_goes_when_the_program_is_killed(screen: Screen) -> None:
    program = (
        "import time; from rtvis.sinks.window import WindowSink; sink = WindowSink();"
        "print(sink.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(10)


@pytest.mark.window
def test_opening_and_closing_leaves_no_process_and_no_file(screen: Screen) -> None:
    with WindowSink() as sink:
        show(sink, quarters())
    own = psutil.Process()
    before = own.num_fds()
    for _ in range(3):
        with WindowSink() as sink:
            show(sink, quarters())
        assert not psutil.pid_exists(sink.pid)
    assert own.num_fds() == before


# The whole loop in a window


class Show:
    """A pipeline in a real window, while `script` plays the user."""

    def __init__(self, source: FakeSource, *, engine: FakeEngine | None = None) -> None:
        self.engine = engine or FakeEngine()
        self.compositor = FakeCompositor()
        self.session = Session(
            View(selection=Selection(layer="middle", unit=5), canvas_size=(700, 1100))
        )
        self.window = WindowSink(size=(700, 1100))
        self.pipeline = Pipeline(
            engine=self.engine,
            source=source,
            compositor=self.compositor,
            session=self.session,
            window=self.window,
        )

    @property
    def view(self) -> View:
        return self.session.read()[0]

    def go(self, script: Callable[[], None]) -> Summary:
        failures: list[BaseException] = []

        def play() -> None:
            try:
                wait_for(lambda: bool(self.compositor.scenes))
                time.sleep(0.3)
                script()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)
                self.pipeline.end("failed")

        player = threading.Thread(target=play)
        player.start()
        with self.window, self.pipeline:
            summary = self.pipeline.run()
        player.join()
        if failures:
            raise failures[0]
        return summary


@pytest.mark.window
def test_a_click_a_key_and_q(screen: Screen) -> None:
    show = Show(FakeSource(loose=1))

    def script() -> None:
        drawn = show.compositor.layout
        assert drawn is not None
        assert drawn.grid is not None
        tile = drawn.grid.tile(11)
        assert tile is not None
        screen.do("mousemove", tile.left + 3, tile.top + 3)
        wait_for(lambda: show.view.hover.unit == 11)
        screen.do("click", 1)
        wait_for(lambda: show.view.selection.unit == 11)
        wait_for(lambda: show.engine.asked[-1][1].unit == 11)
        screen.do("key", "Right")
        wait_for(lambda: show.view.selection.unit == 12)
        screen.do("windowsize", screen.window(), 900, 650)
        wait_for(lambda: show.view.canvas_size == (650, 900))
        screen.do("key", "q")

    assert show.go(script).reason == "left"


@pytest.mark.window
def test_a_killed_display_ends_the_run_with_a_message(screen: Screen) -> None:
    show = Show(FlowingSource(num_frames=100_000), engine=FakeEngine(delay_s=0.01))
    summary = show.go(screen.server.kill)
    assert summary.reason == "closed"
    assert summary.message.startswith("the display went away")


@pytest.mark.window
def test_no_key_is_lost_between_two_turns_of_the_window(screen: Screen) -> None:
    show = Show(FakeSource(loose=1))
    answered: list[bool] = []

    def script() -> None:
        for on in [False, True] * 5:
            screen.do("key", "v")
            wait_for(lambda on=on: show.compositor.scenes[-1].view.range_smoothed is on)
            answered.append(on)
        screen.do("key", "q")

    show.go(script)
    assert answered == [False, True] * 5


# All of it: a real network, the real compositor


CYAN = (0xF0, 0xC9, 0x4C)
"""Selected unit, BGR."""


class SmallNet(nn.Module):
    """Two convolutions and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 20, 3, stride=2, padding=1)
        self.classifier = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        return self.classifier(x.mean(dim=(2, 3)))


@pytest.mark.window
def test_the_pixels_follow_clicks_and_keys(screen: Screen, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "picture.png"), picture)
    size = (700, 1100)
    view = View(selection=Selection(layer="second", unit=0), canvas_size=size)
    session = Session(view)
    failures: list[BaseException] = []

    def photo() -> np.ndarray:
        return screen.photograph(tmp_path / "screen.png")[: size[0], : size[1]]

    def until(done: Callable[[np.ndarray], bool], what: str) -> np.ndarray:
        until_s = time.monotonic() + 20
        while not done(image := photo()):
            assert time.monotonic() < until_s, f"never seen: {what}"
        return image

    def cyan_around(image: np.ndarray, tile: Rect) -> bool:
        edge = image[tile.top - 1 : tile.top + 2, tile.left : tile.right]
        return bool((edge == CYAN).all(axis=2).any(axis=0).mean() > 0.9)

    def coloured(image: np.ndarray, tile: Rect) -> bool:
        inner = tile.inset(3)
        values = image[inner.rows, inner.columns].astype(int)
        return bool((values.max(axis=2) - values.min(axis=2)).max() > 30)

    def play(pipeline: Pipeline) -> None:
        try:
            grid = layout(view, engine.layers).grid
            assert grid is not None
            first, other = grid.tile(0), grid.tile(7)
            assert first is not None
            assert other is not None
            until(lambda image: cyan_around(image, first), "the outline of unit 0")
            screen.do("mousemove", other.left + 5, other.top + 5, "click", 1)
            time.sleep(0.2)
            screen.do("mousemove", 5, 5)  # what is under the pointer has another outline
            image = until(lambda image: cyan_around(image, other), "the outline of unit 7")
            assert not cyan_around(image, first)
            until(lambda image: coloured(image, grid.tile(3)), "maps in colour")
            screen.do("key", "g")
            until(lambda image: not coloured(image, grid.tile(3)), "grey maps")
            bright = photo()[100:160, 10:50].mean()  # of the input picture, beside the help
            screen.do("key", "h")
            until(lambda image: image[100:160, 10:50].mean() < 0.6 * bright, "a dimmed picture")
            screen.do("key", "h")
            until(lambda image: cyan_around(image, other), "the grid again")
            screen.do("key", "q")
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
            pipeline.end("failed")

    with (
        open_source(tmp_path / "picture.png") as source,
        engine_of(seeded(SmallNet), 64) as engine,
        WindowSink(size=size) as window,
        Pipeline(
            engine=engine,
            source=source,
            compositor=Compositor(engine.device),
            session=session,
            window=window,
        ) as pipeline,
    ):
        player = threading.Thread(target=play, args=(pipeline,))
        player.start()
        summary = pipeline.run()
        player.join()
    if failures:
        raise failures[0]
    assert (summary.reason, summary.num_faults) == ("left", 0)
