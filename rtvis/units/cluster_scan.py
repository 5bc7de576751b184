"""A scan on Ray Data: decoders feed actors, and what they find is added up here, in order.

    spans of files -> decode (tasks) -> NetworkActor (actors) -> ScanState

Spans come back in their order, so that the state is at any time that of a scan of the first files:
it is stored and goes on as that of one process, and either can go on with the other's.
"""

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from rtvis.errors import NetworkError, RtvisError, SourceError
from rtvis.units import parcels
from rtvis.units.cluster import Cluster
from rtvis.units.cluster_actor import ActorPlan, NetworkActor, decode
from rtvis.units.parcels import ActorKind, Parcel
from rtvis.units.scan import Progress, Rate, ScanState
from rtvis.units.spans import spans

_BLOCK_BYTES: Final = 2**20
"""Less than a row: Ray then has every row travel alone."""

_DECODER_CPUS: Final = 0.99
"""Not what an actor takes, or Ray would have each actor decode for itself."""

_MOST_DEATHS: Final = 3
"""Of actors while they load the network, one after the other."""


def scan_on_cluster(
    cluster: Cluster,
    plan: ActorPlan,
    state: ScanState,
    *,
    on_note: Callable[[str], None] = lambda _: None,
) -> Iterator[Progress]:
    """Go on with a scan to its end, yielding after each span: then `state` may be stored.

    What a machine that fails had in hand another one does again. Closing the iterator stops the
    scan there.

    Args:
        cluster: Where.
        plan: What every actor does.
        state: Is changed.
        on_note: Told what people should know, a line each.

    Raises:
        RtvisError: Data or network cannot be had on a machine of the cluster, or it fails.
    """
    ledger, rate = state.ledger, Rate(state.ledger)
    every = spans(
        ledger.files,
        start=ledger.num_files,
        start_frame=len(ledger.open_pts),
        size=plan.span_size,
    )
    kinds: dict[str, str] = {}
    given = [{"span": parcels.span_to_bytes(span)} for span in every]
    if not given:
        return
    rows = _rows(cluster, plan, given)
    try:
        for row in rows:
            parcel = parcels.parcel_from_bytes(row["data"])
            if parcel.fault:
                raise SourceError(parcel.fault)
            assert parcel.kind is not None, "it has looked at something"
            _take_note(parcel.kind, kinds, on_note)
            _commit(state, parcel, parcels.span_from_bytes(row["span"]).first)
            yield rate.progress([each.error for each in parcel.samples if each.error])
    finally:
        rows.close()  # type: ignore[attr-defined]


def _rows(cluster: Cluster, plan: ActorPlan, given: list[dict[str, bytes]]) -> Iterator[Any]:
    """What actors tell of each span, in order."""
    ray = cluster.ray
    context = _context(ray)
    node_of = functools.partial(_node_of, ray.get_runtime_context)
    with ray.data.DataContext.current(context):
        looked_at = (
            ray.data.from_items(given, override_num_blocks=len(given))
            .flat_map(
                functools.partial(decode, plan=plan, node_of=node_of),
                num_cpus=_DECODER_CPUS,
                compute=ray.data.TaskPoolStrategy(size=cluster.num_decoders),
            )
            .map(
                NetworkActor,
                fn_constructor_kwargs={"plan": plan},
                num_cpus=cluster.cpus,
                num_gpus=cluster.gpus,
                compute=ray.data.ActorPoolStrategy(size=cluster.num_actors),
            )
        )
        try:
            yield from looked_at.iter_rows()
        except ray.exceptions.RayError as fault:
            raise _told(fault) from fault


def _context(ray: Any) -> Any:
    with warnings.catch_warnings():
        # Ray reads all of its own options when it copies them, deprecated ones too.
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = _BLOCK_BYTES
    context.max_consecutive_actor_init_deaths = _MOST_DEATHS
    return context


def _node_of(get_context: Callable[[], Any]) -> str:
    return str(get_context().get_node_id())


def _told(fault: Exception) -> RtvisError:
    """A failure of the cluster, in one line; the rest is its cause, which --debug shows."""
    # Ray's texts are whole tracebacks, with advice behind them.
    named = re.findall(r"^[\w.]+(?:Error|Exception)\b.*", str(fault), re.MULTILINE)
    reason = named[-1] if named else type(fault).__name__
    return NetworkError(
        f"the cluster failed: {reason}; what is done is kept, and the same command goes on from "
        "there (--debug tells more)"
    )


def _take_note(found: ActorKind, kinds: dict[str, str], on_note: Callable[[str], None]) -> None:
    if found.text in kinds:
        return
    if kinds:
        kind, node = next(iter(kinds.items()))
        on_note(
            f"{found.node} computes {found.text}, and {node} {kind}: values of different "
            "machines may differ in their last bits"
        )
    kinds[found.text] = found.node


def _commit(state: ScanState, parcel: Parcel, first: int) -> None:
    samples = [replace(each, file=each.file + first) for each in parcel.samples]
    if parcel.findings is not None:
        state.commit_found(samples, parcel.findings, parcel.classes_K)
    else:
        state.commit(samples, parcel.reduced)
