"""Makes the embedded policy: ``python -m gapo_trainer.tiny_model OUT`` (`make tiny-model`)."""
