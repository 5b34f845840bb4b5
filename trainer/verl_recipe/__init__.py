"""What a verl run on code edits needs: data (``python -m gapo_trainer.verl_recipe``), reward and configuration."""
