import pytest
from tiny_models import build
from transformers import PreTrainedModel

PLAIN = ["qwen2", "qwen2_tied", "qwen3", "llama", "llama_without_gqa", "deepseek", "granite", "nanochat"]
MASKED = ["mistral", "gemma2", "gpt_oss"]  # windows or caps, which the fused kernels do not compute; sinks


@pytest.fixture(params=PLAIN + MASKED)
def model(request) -> PreTrainedModel:
    return build(request.param)


@pytest.fixture
def build_model():
    return build
