"""What splits and scores are called where a person reads them."""

SPLIT_NAMES = {"test_id": "in-domain", "test_ood": "held-out"}
SCORE_NAMES = {"em": "exact match", "ed": "edit similarity", "bleu": "BLEU"}
