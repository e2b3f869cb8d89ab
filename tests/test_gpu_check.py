"""The check of programs for a GPU: its reader, each of its rules, its model and its limits.

The programs are short texts in XLA's form, one for each rule that breaks it. That the project's
own programs break none is what `make gpu-check` finds out.
"""

import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import _gpu_cards as cards  # noqa: E402
import _gpu_rules as rules  # noqa: E402
import _gpu_time as model  # noqa: E402
import gpu_check  # noqa: E402
from _gpu_hlo import Program, trip_count  # noqa: E402

# A loop of seven turns. Each: a fusion that takes one image of four and adds it to itself, a
# convolution with bias, and a fusion that changes one image of four in place.
LOOP = """\
HloModule jit_scanned, is_scheduled=true

%fused_add (param_0: f32[4,8,8,16], param_1: s32[]) -> f32[1,8,8,16] {
  %param_0 = f32[4,8,8,16]{3,2,1,0} parameter(0)
  %bitcast.1 = f32[4,8,8,16]{3,2,1,0} bitcast(%param_0)
  %param_1 = s32[] parameter(1)
  %slice.1 = f32[1,8,8,16]{3,2,1,0} dynamic-slice(%bitcast.1, %param_1, %param_1, %param_1, %param_1), dynamic_slice_sizes={1,8,8,16}
  ROOT %add.1 = f32[1,8,8,16]{3,2,1,0} add(%slice.1, %slice.1), metadata={op_name="jit(scanned)/while/body/add"}
}

%fused_update (param_0.1: f32[4,8,8,16], param_1.1: f32[1,8,8,16], param_2.1: s32[]) -> f32[4,8,8,16] {
  %param_0.1 = f32[4,8,8,16]{3,2,1,0} parameter(0)
  %param_1.1 = f32[1,8,8,16]{3,2,1,0} parameter(1)
  %param_2.1 = s32[] parameter(2)
  ROOT %update.1 = f32[4,8,8,16]{3,2,1,0} dynamic-update-slice(%param_0.1, %param_1.1, %param_2.1, %param_2.1, %param_2.1, /*index=5*/%param_2.1)
}

%body (arg: (s32[], f32[4,8,8,16], f32[16,3,3,16])) -> (s32[], f32[4,8,8,16], f32[16,3,3,16]) {
  %arg = (s32[], f32[4,8,8,16]{3,2,1,0}, f32[16,3,3,16]{3,2,1,0}) parameter(0)
  %counter = s32[] get-tuple-element(%arg), index=0
  %images = f32[4,8,8,16]{3,2,1,0} get-tuple-element(%arg), index=1
  %weights = f32[16,3,3,16]{3,2,1,0} get-tuple-element(%arg), index=2
  %bias = f32[16]{0} constant({...})
  %image = f32[1,8,8,16]{3,2,1,0} fusion(%images, %counter), kind=kLoop, calls=%fused_add, control-predecessors={%bias}
  %conv.1 = (f32[1,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%image, %weights, %bias), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBiasActivationForward", metadata={op_name="jit(scanned)/while/body/jvp(Generator)/deepen_0/conv (1)"}, backend_config={"cudnn_conv_backend_config":{"activation_mode":"kNone"}}
  %result = f32[1,8,8,16]{3,2,1,0} get-tuple-element(%conv.1), index=0
  %changed = f32[4,8,8,16]{3,2,1,0} fusion(%images, %result, %counter), kind=kLoop, calls=%fused_update
  ROOT %tuple.1 = (s32[], f32[4,8,8,16]{3,2,1,0}, f32[16,3,3,16]{3,2,1,0}) tuple(%counter, %changed, %weights)
}

%condition (arg.1: (s32[], f32[4,8,8,16], f32[16,3,3,16])) -> pred[] {
  %arg.1 = (s32[], f32[4,8,8,16]{3,2,1,0}, f32[16,3,3,16]{3,2,1,0}) parameter(0)
  %counter.1 = s32[] get-tuple-element(%arg.1), index=0
  %seven = s32[] constant(7)
  ROOT %less = pred[] compare(%counter.1, %seven), direction=LT
}

ENTRY %main (state: (s32[], f32[4,8,8,16], f32[16,3,3,16])) -> (s32[], f32[4,8,8,16], f32[16,3,3,16]) {
  %state = (s32[], f32[4,8,8,16]{3,2,1,0}, f32[16,3,3,16]{3,2,1,0}) parameter(0)
  ROOT %while.1 = (s32[], f32[4,8,8,16]{3,2,1,0}, f32[16,3,3,16]{3,2,1,0}) while(%state), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"7"},"known_init_step":{"init":"0","step":"1"}}
}
"""  # noqa: E501

IMAGE, WEIGHTS, BIAS = 4 * 8 * 8 * 16, 4 * 16 * 3 * 3 * 16, 4 * 16


def changed(*pairs):
    """The loop, with some of its words replaced."""
    text = LOOP
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return Program(text)


def test_a_turn_of_the_loop_has_three_kernels():
    program = Program(LOOP)
    assert [trip_count(loop) for loop in program.loops] == [7]
    names = [kernel.instruction.name for kernel in program.kernels]
    assert names == ["image", "conv.1", "changed"]


def test_bytes_are_those_that_a_kernel_touches():
    """One image of four is read, and one is written in place; a number is four bytes."""
    first, convolution, last = Program(LOOP).kernels
    assert (first.reads, first.writes) == (IMAGE + 4, IMAGE)
    assert (convolution.reads, convolution.writes) == (IMAGE + WEIGHTS + BIAS, IMAGE)
    assert (last.reads, last.writes) == (IMAGE + 4, IMAGE)


def test_an_operand_that_is_read_whole_too_counts_whole():
    """The fusion adds all four images to the one."""
    whole = changed(("add(%slice.1, %slice.1)", "add(%slice.1, %bitcast.1)"))
    assert whole.kernels[0].reads == 4 * IMAGE + 4


def test_a_loop_in_the_loop_counts_as_often_as_it_turns():
    """Its body is the outer one's twin."""
    turns = '{"known_trip_count":{"n":"5"}}'
    inner = f"while(%counter), condition=%condition, body=%twin, backend_config={turns}"
    line = "  ROOT %minus = s32[] negate(%x)"
    twin = f"%twin (x: s32[]) -> s32[] {{\n  %x = s32[] parameter(0)\n{line}\n}}\n\n"
    program = changed(
        ("  %image =", f"  %twice = s32[] {inner}\n  %image ="), ("%body (", f"{twin}%body (")
    )
    assert [k.instruction.opcode for k in program.kernels].count("negate") == 5
    assert len(program.kernels) == 3 + 5


def test_attributes_and_sources():
    _, convolution, _ = Program(LOOP).kernels
    call = convolution.instruction
    assert call.target == "__cudnn$convBiasActivationForward"
    assert call.attribute("size") == "3x3"
    assert call.operands == ("image", "weights", "bias")
    assert call.source.endswith("deepen_0/conv (1)")
    assert call.results[0].layout == (3, 2, 1, 0)
    assert Program(LOOP).kernels[0].sources.strip() == "jit(scanned)/while/body/add"


LABELS = "dim_labels=b01f_o01i->b01f"
WRONG = {
    "float64": [("%seven = s32[] constant(7)", "%seven = f64[] constant(7)")],
    "grouped": [
        ("dim_labels=b01f_o01i->b01f", "dim_labels=b01f_o01i->b01f, feature_group_count=8")
    ],
    "kernel_like_an_image": [("size=3x3", "size=3x6")],
    "not_of_the_library": [("custom-call(%image", "convolution(%image")],
    "not_channels_last": [(LABELS, "dim_labels=bf01_oi01->bf01")],
    "waits_for_the_host": [("convBiasActivationForward", "xla_ffi_python_gpu_callback")],
    "sorts": [("add(%slice.1, %slice.1)", "sort(%slice.1), dimensions={0}")],
    "unknown_trip_count": [("known_trip_count", "other")],
}


def test_a_sound_program_breaks_no_rule():
    assert rules.broken(Program(LOOP), dtype="float32") == []


@pytest.mark.parametrize("name", WRONG)
def test_every_rule_finds_what_breaks_it(name):
    found = {line.split(":")[0] for line in rules.broken(changed(*WRONG[name]), dtype="float32")}
    assert found == {name}


def test_every_rule_is_tried():
    assert set(WRONG) == {rule.__name__ for rule in rules.ALWAYS}


def test_channels_last_is_a_layout_too():
    """The labels say it, but the image lies with its rows last."""
    turned = changed(("%image = f32[1,8,8,16]{3,2,1,0}", "%image = f32[1,8,8,16]{1,3,2,0}"))
    (line,) = rules.broken(turned, dtype="float32")
    assert line.startswith("not_channels_last: conv.1")


def test_transfers_to_the_host_are_found():
    program = changed(("add(%slice.1, %slice.1)", "outfeed(%slice.1, %slice.1)"))
    (line,) = rules.broken(program, dtype="float32")
    assert line.startswith("waits_for_the_host")


def test_one_group_is_no_grouped_convolution():
    program = changed(
        ("dim_labels=b01f_o01i->b01f", "feature_group_count=1, dim_labels=b01f_o01i->b01f")
    )
    assert rules.broken(program, dtype="float32") == []


def test_float32_is_wrong_where_bfloat16_was_asked():
    (line,) = rules.broken(Program(LOOP), dtype="bfloat16")
    assert line.startswith("wide_products: conv.1")
    head = changed(("/deepen_0/", "/Generator._heads/"))
    assert rules.broken(head, dtype="bfloat16") == []
    optimizer = changed(("jvp(Generator)/deepen_0/", ""))
    assert rules.broken(optimizer, dtype="bfloat16") == []
    narrow = Program(LOOP.replace("f32[", "bf16["))
    assert rules.broken(narrow, dtype="bfloat16") == []


def test_float32_features_are_counted():
    """A layer that writes 96x96 pixels of 64 channels; three channels are an image's."""
    layer = [
        ("while/body/add", "while/body/jvp(Vgg16)/max"),
        ("%image = f32[1,8,8,16]{3,2,1,0}", "%image = f32[1,96,96,64]{3,2,1,0}"),
    ]
    assert rules.wide_bytes(changed(*layer)) == 4 * 96 * 96 * 64
    assert rules.wide_bytes(changed(*layer, ("f32[1,96,96,64]", "f32[1,960,960,3]"))) == 0
    assert rules.wide_bytes(changed(*layer, ("f32[1,96,96,64]", "bf16[1,96,96,64]"))) == 0
    assert rules.wide_bytes(changed(*layer, ("jvp(Vgg16)", "jvp(Generator)/Generator._heads"))) == 0
    assert rules.wide_bytes(Program(LOOP)) == 0


def test_a_convolution_has_two_operations_for_each_tap_and_channel():
    _, convolution, _ = Program(LOOP).kernels
    program = Program(LOOP)
    assert model.flop(program, convolution) == 2 * 8 * 8 * 16 * (3 * 3 * 16)
    # The weights' gradient sums over the pixels of the result's cotangent, and no less.
    backward = changed(("convBiasActivationForward", "convBackwardFilter"))
    assert model.flop(backward, backward.kernels[1]) == 2 * 8 * 8 * 16 * (3 * 3 * 16)


def test_a_kernel_takes_as_long_as_what_binds_it():
    card = cards.CARDS["h100"]
    small, large = Program(LOOP), Program(LOOP.replace("8,8,16]", "8000,8000,16]"))
    assert model.seconds(small, small.kernels[0], card) == pytest.approx(model.LEAST, rel=0.01)
    kernel = large.kernels[0]
    assert model.seconds(large, kernel, card) == pytest.approx(
        model.LEAST + kernel.bytes / (model.SHARE_OF_BANDWIDTH * card.bandwidth), rel=0.01
    )


def test_a_card_is_described_for_xla():
    text = cards.describe(cards.CARDS["a100"])
    assert "core_count: 108\n" in text
    assert "cuda_compute_capability: { major: 8 minor: 0 feature_extension: NONE }" in text
    assert text.count("{") == text.count("}")


def row(**numbers):
    figures = {"kernels": 5, "bytes": 100, "temporaries_bytes": 7, "wide_bytes": 0}
    return {**figures, "wrong": [], **numbers}


def test_limits_are_what_no_figure_may_exceed():
    limits = {"h100 flow-float32": {"kernels": 5, "bytes": 90, "temporaries_bytes": 8}}
    (line,) = gpu_check.exceeded({"h100 flow-float32": row()}, limits)
    assert line == "h100 flow-float32: bytes are 100, the limit is 90"
    (line,) = gpu_check.exceeded({"a100 flow-float32": row()}, limits)
    assert "has no limits" in line
    assert gpu_check.exceeded({"h100 flow-float32": {"wrong": ["does_not_compile"]}}, limits) == []


def test_limits_only_fall():
    limits = {"one": {"kernels": 4, "bytes": 200, "temporaries_bytes": 7}, "other": {"kernels": 1}}
    fallen = gpu_check.lowered({"one": row(), "other": row(wrong=["sorts"])}, limits)
    assert fallen == {
        "one": {"kernels": 4, "bytes": 100, "temporaries_bytes": 7, "wide_bytes": 0},
        "other": {"kernels": 1},
    }


def test_the_repository_has_limits_of_its_programs():
    limits = json.loads((ROOT / "tools/gpu_limits.json").read_text())
    assert set(gpu_check.SHORT) <= set(limits["programs"]) <= set(gpu_check.names())


def test_an_unknown_program():
    with pytest.raises(SystemExit, match="no program nothing; there are"):
        gpu_check.main(["--only=nothing"])
