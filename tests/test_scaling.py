"""The model of scaling: torch's own buckets, a ring, and predictions that are held to a bound."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from sampling import examples
from torch.nn.parallel import DistributedDataParallel

from vgglab.lab.experiments.catalogue import ERROR_BOUND
from vgglab.lab.experiments.reading import recorded
from vgglab.lab.experiments.scaling_findings import (
    Prediction,
    error_band,
    fitted_link,
    median_error,
    predictions,
)
from vgglab.lab.scaling import (
    LINKS,
    Link,
    all_reduce_seconds,
    buckets,
    fit_link,
    gradients,
    step_time,
)
from vgglab.models.network import vgg

RESULTS = Path(__file__).parents[1] / "book" / "results"


# --- the ring -----------------------------------------------------------------------------------


def ring(devices: int, nbytes: float, link: Link) -> float:
    """Send the parts round by round, as Patarasuk and Yuan's figure 1 does, and count."""
    parts = [[{rank} for _ in range(devices)] for rank in range(devices)]
    seconds = 0.0
    for phase in range(2):
        for step in range(devices - 1):
            sent = [(r, (r - step + phase) % devices) for r in range(devices)]
            arriving = [(r, part, set(parts[r][part])) for r, part in sent]
            for r, part, ranks in arriving:
                parts[(r + 1) % devices][part] |= ranks
            seconds += link.latency + nbytes / devices / link.bandwidth
    assert all(part == set(range(devices)) for rank in parts for part in rank)
    return seconds


@pytest.mark.parametrize("devices", [2, 3, 4, 7])
def test_an_all_reduce_is_a_ring(devices):
    link = Link(0.01, 1000.0)
    assert all_reduce_seconds(840, devices, link) == pytest.approx(ring(devices, 840, link))


def test_one_device_sends_nothing():
    assert all_reduce_seconds(1000, 1, LINKS["PCIe 3.0 x16"]) == 0


@given(st.floats(1e-6, 1e-2), st.floats(1e6, 1e12), st.integers(2, 1024))
@examples(20, 200)
def test_a_fit_finds_the_link_that_made_the_seconds(latency, bandwidth, devices):
    link = Link(latency, bandwidth)
    sizes = [int(latency * bandwidth * devices * share) + 1 for share in (0.01, 0.3, 1, 5, 90)]
    found = fit_link({size: all_reduce_seconds(size, devices, link) for size in sizes}, devices)
    assert found[:2] == pytest.approx(link[:2], rel=1e-3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [({8: 1.0}, "of two sizes or more; got 1"), ({8: 2.0, 800: 1.0}, "must grow with the bytes")],
)
def test_what_cannot_be_fitted(seconds, words):
    with pytest.raises(ValueError, match=words):
        fit_link(seconds, 2)


# --- buckets ------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 30), st.integers(1, 60)
)
@examples(50, 500)
def test_gradients_are_divided_as_torch_divides_them(kibibytes, first, following):
    tensors = [torch.empty(256 * size, device="meta") for size in kibibytes]
    limits = [1024 * first, 1024 * following]
    wanted, _ = dist._compute_bucket_assignment_by_size(tensors, limits)
    found = buckets([1024 * size for size in kibibytes], *limits)
    assert [len(bucket) for bucket in found] == [len(bucket) for bucket in wanted]
    assert sum(found, []) == [1024 * size for size in kibibytes]  # noqa: RUF017


@pytest.mark.parametrize("head", ["fc", "gap", "spp"])
def test_ddp_itself_sends_these_buckets_in_this_order(head):
    """Seen by a hook of DistributedDataParallel; from its second step on it goes by readiness."""
    network = vgg("A", width=1 / 4, head=head)
    found = gradients(network, (1, 3, 32, 32))
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(network)
        sent: list[int] = []

        def hook(state, bucket):  # torch reads annotations, and not those that are strings
            sent.append(bucket.buffer().nbytes)
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        parallel.register_comm_hook(None, hook)
        for _ in range(2):
            sent.clear()
            parallel(torch.rand(1, 3, 32, 32)).sum().backward()
    finally:
        dist.destroy_process_group()
    sizes = [layer.nbytes for layer in found]
    assert [sum(bucket) for bucket in buckets(sizes)] == sent


def test_gradients_are_all_of_a_network_from_its_end():
    network = vgg("D", head="fc", device="meta")
    found = gradients(network, (2, 3, 224, 224))
    assert sum(layer.nbytes for layer in found) == 4 * 138_357_544
    assert sum(layer.mult_adds for layer in found) == 2 * 15_470_264_320
    assert found[0].layer == "classifier.6.bias"
    assert found[-1].layer == "features.0.bias"
    largest = max(found, key=lambda layer: layer.nbytes)
    assert (largest.layer, largest.nbytes) == ("classifier.0.weight", 4 * 102_760_448)


# --- steps --------------------------------------------------------------------------------------


@cache
def layers():
    return gradients(vgg("D", device="meta"), (1, 3, 224, 224))


@given(st.floats(0.01, 10), st.integers(2, 1024), st.sampled_from(sorted(LINKS)))
@examples(20, 200)
def test_a_step_lies_between_its_bounds(compute, devices, name):
    link = LINKS[name]
    overlapped, after = (
        step_time(layers(), compute, devices, link, overlap=overlap) for overlap in (True, False)
    )
    total = sum(all_reduce_seconds(t.nbytes, devices, link) for t in overlapped.transfers)
    assert overlapped.communication == pytest.approx(total)
    assert after.seconds == pytest.approx(compute + total)
    assert max(compute, total) <= overlapped.seconds <= after.seconds * (1 + 1e-9)
    for one, other in pairwise(overlapped.transfers):
        assert one.end <= other.start
        assert other.ready <= other.start
    last = overlapped.transfers[-1]
    assert last.ready == pytest.approx(compute)  # the first layer's gradient is the last


def test_one_bucket_hides_nothing():
    link = LINKS["PCIe 3.0 x16"]
    flat = step_time(layers(), 0.1, 4, link, first=2**40, following=2**40)
    assert len(flat.transfers) == 1
    assert flat.seconds == pytest.approx(
        0.1 + all_reduce_seconds(sum(layer.nbytes for layer in layers()), 4, link)
    )
    with pytest.raises(ValueError, match="devices must be at least 1; got 0"):
        step_time(layers(), 0.1, 0, link)
    assert step_time(layers(), 0.1, 1, link).seconds == 0.1


# --- what was measured --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record():
    return recorded(RESULTS / "all-reduce.json", "cpu")


def test_what_no_fit_has_seen_is_predicted_within_the_bound(record):
    """The link is fitted anew from the powers of two that are stored."""
    found = predictions(record, fitted_link(record))
    assert {prediction.kind for prediction in found} == {"bucket", "step"}
    sizes = {2**k for k in range(*record.definition["held"]["powers"])}
    assert not sizes & {int(p.name) for p in found if p.kind == "bucket"}
    assert median_error(found) < ERROR_BOUND


@pytest.mark.parametrize("factor", [8, 1 / 8])
def test_a_link_that_is_eight_times_wrong_misses_the_bound(record, factor):
    link = fitted_link(record)
    wrong = Link(link.latency * factor, link.bandwidth / factor)
    assert median_error(predictions(record, wrong)) > 2 * ERROR_BOUND


def test_the_buckets_of_the_record_are_those_of_vgg_16(record):
    (*_, sizes) = record.samples("buckets", processes=2)
    for head, of_head in sizes.items():
        found = gradients(vgg("D", head=head, device="meta"), (1, 3, 224, 224))
        assert of_head == [sum(b) for b in buckets(layer.nbytes for layer in found)]


def test_an_error_is_the_same_both_ways_and_nine_of_ten_lie_in_the_band():
    assert Prediction("bucket", "", 1.25, 1.0).error == pytest.approx(0.25)
    assert Prediction("bucket", "", 1.0, 1.25).error == pytest.approx(0.25)
    found = [Prediction("bucket", "", 1 + k / 10, 1.0) for k in range(11)]
    assert error_band(found) == pytest.approx(1.9)
    assert median_error(found) == pytest.approx(0.5)
