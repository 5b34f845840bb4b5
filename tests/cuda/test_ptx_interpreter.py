"""The PTX interpreter (tests/cuda/ptx) on kernels of a few lines: what it computes, and what it does not let pass."""

from __future__ import annotations

import ctypes

import numpy as np
import ptx_library
import pytest
import torch
from device_ops import INTERPRETED

THREADS = 64
KERNEL = """
.version 8.0
.target sm_90
.address_size 64

.extern .shared .align 16 .b8 dynamic[];

.visible .entry kernel(
  .param .u64 out
)
{
  .reg .pred %p<9>;
  .reg .b32 %r<9>;
  .reg .b64 %rd<9>;
  .shared .align 4 .b8 cells[256];
  ld.param.u64 %rd1, [out];
  mov.u32 %r1, %tid.x;        // %r1: the thread, %r2: its cell, %r3: its neighbour's, in the other half of the warp
  mov.u32 %r4, cells;
  mad.lo.s32 %r2, %r1, 4, %r4;
  xor.b32 %r5, %r1, 16;
  mad.lo.s32 %r3, %r5, 4, %r4;
  mul.wide.u32 %rd2, %r1, 4;
  add.s64 %rd2, %rd1, %rd2;   // %rd2: its result
BODY
}
"""


@pytest.fixture(scope="module")
def interpreter():
    ptx_library.build()
    run = ctypes.CDLL(str(ptx_library.OPS)).gapo_ptx_run
    run.restype = ctypes.c_char_p
    return run


@pytest.fixture
def run(interpreter):
    def run(
        body: str,
        results: torch.Tensor | None = None,
        early: bool = False,
        beside: bool = False,
        blocks: int = 1,
        cluster: int = 1,
    ) -> list[int]:
        """The threads' results; what the interpreter has against the kernel is raised."""
        results = torch.zeros(THREADS, dtype=torch.int32) if results is None else results
        address = ctypes.c_uint64(results.data_ptr())
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(address))
        grid, block = (ctypes.c_uint32 * 3)(blocks, 1, 1), (ctypes.c_uint32 * 3)(THREADS, 1, 1)
        text = KERNEL.replace("BODY", body).encode()
        fault = interpreter(
            text, b"kernel", grid, block, ctypes.c_size_t(16), arguments, ctypes.c_uint32(cluster), early, beside
        )
        if fault is not None:
            raise RuntimeError(fault.decode())
        return results.tolist()

    return run


OWN = "st.shared.u32 [%r2], %r1;"
NEIGHBOURS = "ld.shared.u32 %r6, [%r3]; st.global.u32 [%rd2], %r6; ret;"
EXCHANGED = [thread ^ 16 for thread in range(THREADS)]


def test_an_exchange_through_shared_memory(run):
    assert run(f"{OWN} bar.sync 0; {NEIGHBOURS}") == EXCHANGED
    assert run(f"{OWN} bar.warp.sync -1; {NEIGHBOURS}") == EXCHANGED


def test_a_shuffle_and_a_vote(run):
    result = "st.global.u32 [%rd2], %r6; ret;"
    assert run(f"shfl.sync.bfly.b32 %r6|%p1, %r1, 16, 31, -1; {result}") == EXCHANGED
    up = run(f"shfl.sync.up.b32 %r6|%p1, %r1, 1, 0, -1; @!%p1 mov.u32 %r6, 99; {result}")
    assert up == [99 if thread % 32 == 0 else thread - 1 for thread in range(THREADS)]
    ballot = run(f"setp.lt.u32 %p1, %r1, 40; vote.sync.ballot.b32 %r6, %p1, -1; {result}")
    assert ballot == [-1] * 32 + [0xFF] * 32


def test_the_highest_and_the_lowest_bit(run):
    result = "st.global.u32 [%rd2], %r6; ret;"
    assert run(f"bfind.u32 %r6, %r1; {result}") == [thread.bit_length() - 1 for thread in range(THREADS)]
    lowest = [(thread & -thread).bit_length() - 1 for thread in range(THREADS)]
    assert run(f"brev.b32 %r6, %r1; bfind.shiftamt.u32 %r6, %r6; {result}") == lowest


def test_a_mask_of_bits(run):
    mask = run("bmsk.clamp.b32 %r6, 3, %r1; st.global.u32 [%rd2], %r6; ret;")
    expected = [((1 << min(thread, 32)) - 1) << 3 & 0xFFFFFFFF for thread in range(THREADS)]
    assert mask == np.array(expected, np.uint32).view(np.int32).tolist()


def test_a_loop_and_arithmetic(run):
    # 0 + 1 + … + thread, and the remainder by 7
    assert run("""
      mov.u32 %r6, 0;
      mov.u32 %r7, 0;
    $again:
      add.s32 %r6, %r6, %r7;
      add.s32 %r7, %r7, 1;
      setp.le.u32 %p1, %r7, %r1;
      @%p1 bra $again;
      rem.u32 %r6, %r6, 7;
      st.global.u32 [%rd2], %r6;
      ret;
    """) == [thread * (thread + 1) // 2 % 7 for thread in range(THREADS)]


FIVE_LEAVES = "setp.eq.u32 %p1, %r1, 5; @%p1 bra $end;"
FAULTS = {
    "no barrier": (f"{OWN} {NEIGHBOURS}", "a race with what thread|read before anything was written"),
    "a second write": (f"{OWN} bar.sync 0; {NEIGHBOURS.replace('ret;', OWN)}", "a race with what thread"),
    "a write by all": ("st.shared.u32 [cells], %r1; ret;", "a race with what thread .* wrote"),
    "another warp's": (
        f"xor.b32 %r5, %r1, 32; mad.lo.s32 %r3, %r5, 4, %r4; {OWN} bar.warp.sync -1; {NEIGHBOURS}",
        "a race with what thread|read before anything was written",
    ),
    "nothing written": (f"bar.sync 0; {NEIGHBOURS}", "read before anything was written"),
    "out of bounds": ("st.shared.u32 [%r2+272], %r1; ret;", "out of bounds at shared address [0-9]+ of 272"),
    "misaligned": ("st.global.u32 [%rd2+2], %r1; ret;", "a misaligned access of 4 bytes"),
    "two barriers": (
        f"{FIVE_LEAVES} bar.sync 0; ret; $end: bar.sync 0; ret;",
        "a barrier, while thread . is at another",
    ),
    "a lane that ended": (
        f"{FIVE_LEAVES} shfl.sync.bfly.b32 %r6, %r1, 1, 31, -1; $end: ret;",
        "lane 5, which has ended",
    ),
    "a lane elsewhere": (f"{FIVE_LEAVES} bar.warp.sync -1; ret; $end: bar.sync 0; ret;", "threads that never come"),
    "a lane outside": ("shfl.sync.bfly.b32 %r6, %r1, 2, 31, 1; ret;", "lane 2, which takes no part|outside the mask"),
    "division": ("rem.u32 %r6, %r1, 0; ret;", "a division by zero; kernel, block 0, thread 0, line 24: rem"),
    "a name": ("add.s32 %r6, %r1, %nothing; ret;", "line 24, add.*an unknown name: %nothing"),
    "a label": ("bra $nowhere;", r"a branch to \$nowhere"),
    "an opcode": ("tanh.approx.f32 %r6, %r1; ret;", "an unknown instruction"),
    "a modifier": ("add.ftz.f32 %r6, %r1, %r1; ret;", "an unknown instruction"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_does_not_pass(run, what):
    body, fault = FAULTS[what]
    with pytest.raises(RuntimeError, match=fault):
        run(body)


def test_writing_the_same_is_no_race(run):
    assert run("mov.u32 %r6, 7; st.shared.u32 [cells], %r6; bar.sync 0; st.global.u32 [%rd2], %r6; ret;") == [7] * 64


# a thread's result to its neighbour in the warp (16) or in the other warp (32), through global memory
PASSED_ON = """
  st.global.u32 [%rd2], %r1;
  ORDER
  xor.b32 %r5, %r1, APART;
  mul.wide.u32 %rd3, %r5, 4;
  add.s64 %rd3, %rd1, %rd3;
  ld.global.u32 %r6, [%rd3];
  bar.sync 0;
  st.global.u32 [%rd2], %r6;
  ret;
"""


@pytest.mark.parametrize(("apart", "order", "races"), [
    (16, "", True), (16, "bar.warp.sync -1;", False), (32, "bar.warp.sync -1;", True), (32, "bar.sync 0;", False),
    (32, "fence.acq_rel.gpu;", True),
])  # fmt: skip
def test_races_in_global_memory_within_a_block(run, apart, order, races):
    body = PASSED_ON.replace("APART", str(apart)).replace("ORDER", order)
    if not races:
        assert run(body) == [thread ^ apart for thread in range(THREADS)]
        return
    with pytest.raises(RuntimeError, match=r"a race in global memory with what thread [0-9]+ of block 0 (wrote|read)"):
        run(body)


# the first block writes and counts up, the second one reads the counter and then what was written
TOLD = """
  mov.u32 %r7, %ctaid.x;
  setp.ne.u32 %p1, %r7, 0;
  setp.ne.u32 %p2, %r1, 0;
  @%p1 bra $second;
  st.global.u32 [%rd2], %r1;
  bar.sync 0;
  @%p2 bra $end;
  FENCE1
  COUNT.global.add.u32 %r8, [%rd1+256], 1;
  bra $end;
$second:
  @%p2 bra $wait;
  READ %r8, [%rd1+256];
  FENCE2
$wait:
  bar.sync 0;
  ld.global.u32 %r6, [%rd2];
$end:
  ret;
"""
FENCE, RELAXED, ADD = "fence.acq_rel.gpu;", "ld.relaxed.gpu.global.u32", "atom.global.add.u32"
WROTE = r"thread \d+ of block 0 wrote"


@pytest.mark.parametrize(("first", "count", "read", "second", "race"), [
    (FENCE, ADD, RELAXED, FENCE, None),
    ("membar.gl;", ADD, "ld.volatile.global.u32", "fence.sc.gpu;", None),
    ("", ADD, RELAXED, FENCE, WROTE),
    (FENCE, ADD, RELAXED, "", WROTE),
    (FENCE, ADD, RELAXED, "membar.cta;", WROTE),
    (FENCE, ADD, RELAXED, "fence.proxy.async;", WROTE),
    (FENCE, ADD, RELAXED, "fence.acq_rel.cluster;", WROTE),
    (FENCE, "atom.relaxed.cta.global.add.u32", RELAXED, FENCE, "thread 0 of block 0 wrote; .* ld.relaxed"),
    (FENCE, ADD, "ld.global.u32", FENCE, "thread 0 of block 0 wrote; .* ld.global.u32 %r8"),
    (FENCE, ADD, f"st.relaxed.gpu.global.u32 [%rd1+256], %r1; @!%p2 {RELAXED}", FENCE, WROTE),  # nothing is told then
])  # fmt: skip
def test_races_in_global_memory_between_blocks(run, first, count, read, second, race):
    body = TOLD.replace("FENCE1", first).replace("FENCE2", second).replace("READ", read)
    body = body.replace("COUNT.global.add.u32", count)
    results = torch.zeros(THREADS + 1, dtype=torch.int32)
    if race is None:
        assert run(body, results, blocks=2) == [*range(THREADS), 1]
        return
    with pytest.raises(RuntimeError, match=f"a race in global memory with what {race}"):
        run(body, results, blocks=2)


# each block of a cluster writes, and reads what the other one wrote
MET = """
  mov.u32 %r7, %ctaid.x;
  mad.lo.s32 %r5, %r7, 64, %r1;
  xor.b32 %r6, %r5, 64;
  mul.wide.u32 %rd2, %r5, 4;
  add.s64 %rd2, %rd1, %rd2;
  mul.wide.u32 %rd3, %r6, 4;
  add.s64 %rd3, %rd1, %rd3;
  st.global.u32 [%rd2], %r5;
  bar.sync 0;
  BARRIER
  ld.global.u32 %r8, [%rd3];
  bar.sync 0;
  AGAIN
  st.global.u32 [%rd2], %r8;
  ret;
"""
ARRIVE, WAIT_FOR_CLUSTER = "barrier.cluster.arrive.release;", "barrier.cluster.wait.acquire;"
MEET = ARRIVE + WAIT_FOR_CLUSTER
RACE = r"a race in global memory with what thread \d+ of block [01]"
# the second block of the cluster leaves
ONE_LEAVES = "and.b32 %r8, %r7, 1; setp.eq.u32 %p1, %r8, 1; @%p1 ret;"


@pytest.mark.parametrize(("barrier", "again", "fault"), [
    (MEET, MEET, None),
    (f"{ARRIVE} mov.u32 %r8, 0; {WAIT_FOR_CLUSTER}", MEET, None),
    ("", MEET, RACE),
    (MEET, "", RACE),
    (f"{MEET} st.global.u32 [%rd2], %r5;", MEET, RACE),
    (f"{ARRIVE} st.global.u32 [%rd2], %r5; {WAIT_FOR_CLUSTER}", MEET, RACE),
    (WAIT_FOR_CLUSTER, "", "waits for its cluster before it has arrived"),
    (ARRIVE + MEET, "", "arrives at its cluster's barrier again"),
    (MEET, f"{ONE_LEAVES} {MEET}", "waits for threads that never come"),
    ("barrier.cluster.arrive.relaxed;", "", "an unknown instruction"),
])  # fmt: skip
def test_the_barrier_of_a_cluster(run, barrier, again, fault):
    body = MET.replace("BARRIER", barrier).replace("AGAIN", again)
    results = torch.zeros(4 * THREADS, dtype=torch.int32)  # of two clusters
    if fault is None:
        assert run(body, results, blocks=4, cluster=2) == [place ^ 64 for place in range(4 * THREADS)]
        return
    with pytest.raises(RuntimeError, match=fault):
        run(body, results, blocks=4, cluster=2)


def test_a_clusters_barrier_does_not_order_other_clusters(run):
    body = MET.replace("BARRIER", MEET).replace("AGAIN", "").replace("%r5, 64;", "%r5, 128;")
    with pytest.raises(RuntimeError, match=RACE):
        run(body, torch.zeros(4 * THREADS, dtype=torch.int32), blocks=4, cluster=2)


COUNTED = "atom.global.add.u32 %r8, [%rd1], 1;"
LANE_0 = "setp.ne.u32 %p1, %r1, 0; @%p1 bra $end;"


@pytest.mark.parametrize(("body", "race"), [
    (f"{COUNTED} ret;", None),
    # the last one looks at what all have counted
    (f"{COUNTED} setp.ne.u32 %p1, %r8, 127; @%p1 bra $end; ld.global.u32 %r6, [%rd1]; $end: ret;",
     r"(thread \d+|several threads) of block 0 wrote"),
    # a plain read, and a relaxed one of the same thread behind it
    (f"{LANE_0} mov.u32 %r7, %ctaid.x; setp.ne.u32 %p2, %r7, 0; @%p2 bra $write; ld.global.u32 %r6, [%rd1];"
     f"{RELAXED} %r6, [%rd1]; bra $end; $write: {COUNTED} $end: ret;", "thread 0 of block 0 read"),
])  # fmt: skip
def test_what_atomics_do_not_hide(run, body, race):
    if race is None:
        assert run(body, blocks=2)[0] == 2 * THREADS
        return
    with pytest.raises(RuntimeError, match=f"a race in global memory with what {race}"):
        run(body, blocks=2)


def test_a_warp_that_has_met_may_write_what_it_read(run):
    read = "ld.global.u32 %r6, [%rd1];"
    first_warp = "setp.ge.u32 %p2, %r1, 32; @%p2 bra $end;"
    assert run(f"{first_warp} {read} bar.warp.sync -1; {LANE_0} {read} st.global.u32 [%rd1], 7; $end: ret;")[0] == 7


def test_who_reads_what_is_written_later_races_too(run):
    reads = "setp.ne.u32 %p1, %ctaid.x, 0; @%p1 bra $write; ld.global.u32 %r6, [%rd1]; ret; $write:"
    body = f"mov.u32 %r7, %ctaid.x; {reads.replace('%ctaid.x', '%r7')} st.global.u32 [%rd1], %r1; ret;"
    with pytest.raises(RuntimeError, match="a race in global memory with what several threads of block 0 read"):
        run(body, blocks=2)


def test_bytes_side_by_side_are_no_race_and_a_word_over_them_is(run):
    own_byte = "cvt.u64.u32 %rd3, %r1; add.s64 %rd3, %rd1, %rd3; st.global.u8 [%rd3], %r1;"
    assert run(f"{own_byte} ret;")[0] == 0x03020100
    first_reads = "setp.ne.u32 %p1, %r1, 0; @%p1 bra $end; ld.global.u32 %r6, [%rd1]; $end: ret;"
    with pytest.raises(RuntimeError, match=r"a race in global memory with what thread [0-3] of block 0 (wrote|read)"):
        run(f"{own_byte} {first_reads}")


WAIT, LET_COME = "griddepcontrol.wait;", "griddepcontrol.launch_dependents;"
WRITE, READ, READ_ONCE = (
    "st.global.u32 [%rd2], %r1;",
    "ld.global.u32 %r6, [%rd2];",
    "ld.relaxed.gpu.global.u32 %r6, [%rd2];",
)
LAST_WAITS = f"setp.ne.u32 %p1, %r1, 63; @%p1 bra $end; {WAIT} $end: ret;"


def test_a_launch_that_begins_early(run):
    assert run(f"{WAIT} {LET_COME} {WRITE} ret;", early=True) == list(range(THREADS))
    for body, fault in {
        f"{WRITE} {WAIT} ret;": "touches global memory before griddepcontrol.wait",
        f"{LET_COME} {WAIT} {WRITE} ret;": "lets later kernels come before",
        LAST_WAITS: "ends before what came before it",
    }.items():
        with pytest.raises(RuntimeError, match=fault):
            run(body, early=True)


def test_a_launch_that_runs_beside_another(run):
    assert run(f"{WRITE} {LAST_WAITS}", early=True, beside=True) == list(range(THREADS))
    for body, fault in {
        f"{READ} {LAST_WAITS}": "reads through the L1 cache before griddepcontrol.wait",
        f"{WRITE} ret;": "may end before the launch beside it",
        f"{LET_COME} {WRITE} {LAST_WAITS}": "lets later kernels come before",
    }.items():
        with pytest.raises(RuntimeError, match=fault):
            run(body, early=True, beside=True)


@pytest.mark.skipif(INTERPRETED is None, reason="the test below runs it, where every allocation is known")
def test_two_launches_side_by_side(run):
    one, other = (torch.zeros(THREADS, dtype=torch.int32) for _ in range(2))
    for first, second, faults in ((WRITE, READ_ONCE, True), (READ, WRITE, True), (READ, READ_ONCE, False)):
        run(f"{first} ret;", one)
        run(f"{second} {LAST_WAITS}", other, early=True, beside=True)
        run(f"{first} ret;", one)
        if not faults:
            run(f"{second} {LAST_WAITS}", one, early=True, beside=True)
            continue
        with pytest.raises(RuntimeError, match="of what the launch that runs beside this one"):
            run(f"{second} {LAST_WAITS}", one, early=True, beside=True)


@pytest.mark.skipif(INTERPRETED is not None, reason="this process is the one that it would start")
def test_launches_side_by_side_touch_different_memory():
    here = f"{__file__}::{test_two_launches_side_by_side.__name__}"
    found = ptx_library.run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", here)
    assert "1 passed" in found.stdout, found.stdout
