"""What a model does to its logits is measured: the models of transformers that do something, and casts."""

import pytest
import torch
from transformers import CohereConfig, CohereForCausalLM

from gapo_trainer.engine.example_check import check_example
from gapo_trainer.engine.logit_curve import LogitCurve, measured_curve

CPU = torch.device("cpu")


def cohere(scale):
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    return CohereForCausalLM(CohereConfig(**sizes, num_attention_heads=2, logit_scale=scale))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_curves_of_models(build_model, dtype):
    models = {
        LogitCurve(): build_model("llama"),
        LogitCurve(8.0): build_model("granite", logits_scaling=0.125),
        LogitCurve(0.0625): cohere(0.0625),
        LogitCurve(-0.5): cohere(-0.5),
        LogitCurve(1.0, cap=30.0): build_model("nanochat", final_logit_softcapping=30.0),
    }
    for expected, model in models.items():
        found = measured_curve(model.to(dtype), CPU)
        assert found.scale == pytest.approx(expected.scale)
        assert found.cap == (expected.cap and pytest.approx(expected.cap))


def test_a_curve_that_is_computed_in_half_precision(build_model):
    model = build_model("nanochat", final_logit_softcapping=15.0)
    model.lm_head.register_forward_hook(lambda module, args, output: output.bfloat16())
    assert measured_curve(model, CPU) == pytest.approx(LogitCurve(1.0, cap=15.0))


def test_a_changed_configuration_is_looked_at_anew(build_model):
    model = build_model("nanochat", final_logit_softcapping=15.0)
    assert check_example(model, CPU).cap == pytest.approx(15.0)
    model.config.final_logit_softcapping = 3.0
    assert check_example(model, CPU).cap == pytest.approx(3.0)


def test_what_a_curve_does():
    logits = torch.tensor([-1e4, 0.0, 0.5, 1e4])
    torch.testing.assert_close(LogitCurve(2.0).of(logits), 2 * logits)
    capped = LogitCurve(2.0, cap=3.0).of(logits)
    torch.testing.assert_close(capped, torch.tensor([-3.0, 0.0, 3 * float(torch.tensor(1 / 3).tanh()), 3.0]))
