"""What runs looked like: figures, and one self-contained HTML page that compares them."""
