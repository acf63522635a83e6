"""Tables of numbers and categories, as users have them, made into codes for a network.

In reading order: `columns` (what a column is coded by, and the codes), `sources` (one
column of any kind of table).
"""
