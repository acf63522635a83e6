"""Behind the last operation: `losses`, `outputs`, and `head`, which runs them by rows."""
