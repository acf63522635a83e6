"""The estimators inside scikit-learn's tools and beside other libraries."""
