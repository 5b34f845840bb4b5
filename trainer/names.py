"""The names of splits and scores in what people read."""

SPLIT_NAMES = {"test_id": "in-domain", "test_ood": "held-out"}
SCORE_NAMES = {"em": "exact match", "ed": "edit similarity", "bleu": "BLEU"}
