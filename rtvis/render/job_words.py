"""What the screen says of long work."""

from collections.abc import Sequence
from dataclasses import replace

from rtvis.data import Layer
from rtvis.render.panes_plan import has_details
from rtvis.render.scene import JobShown, Scene
from rtvis.render.strip import short_names


def job_name(jobs: Sequence[JobShown], layers: Sequence[Layer]) -> str:
    """What of several jobs is chosen: "2.0.dw", "1/3 2.0.dw", "all 3 jobs"."""
    chosen = [job for job in jobs if job.is_chosen]
    if len(chosen) > 1:
        return f"all {len(chosen)} jobs"
    names = short_names(tuple(layer.name for layer in layers))
    short = {layer.name: names[layer.index] for layer in layers}
    name = short.get(chosen[0].name, chosen[0].name)
    return f"{jobs.index(chosen[0]) + 1}/{len(jobs)} {name}" if len(jobs) > 1 else name


def job_share(jobs: Sequence[JobShown]) -> float:
    """How much of the chosen jobs is done, each counting alike, 0..1."""
    shares = [job.share for job in jobs if job.is_chosen]
    return sum(shares) / len(shares)


def jobs_beside(scene: Scene) -> str:
    """What is being made, where the page that tells it is not in sight; else empty."""
    jobs = scene.jobs
    if not jobs or (scene.view.page == "learned" and has_details(scene.view)):
        return ""
    every = [replace(job, is_chosen=True) for job in jobs]
    name = job_name(every, scene.layers) if len(jobs) == 1 else f"{len(jobs)} jobs"
    return f"making {name} {job_share(every):.0%}"
