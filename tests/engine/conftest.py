import pytest
from tiny_models import build
from transformers import PreTrainedModel


@pytest.fixture(params=["qwen2", "qwen2_tied", "qwen3", "llama", "llama_without_gqa", "deepseek"])
def model(request) -> PreTrainedModel:
    return build(request.param)


@pytest.fixture
def build_model():
    return build
