"""Behind the last operation: `losses`, `outputs`, and `head`, which applies them."""
