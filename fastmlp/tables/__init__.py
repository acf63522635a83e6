"""Networks for tables of numbers and categories, as users have them.

Nothing here knows an estimator. In reading order: `columns` (a table's columns as
codes), `frequent` (numbers that act like categories), `table` (a table of any library,
column by column), `encoding` (how codes enter a network), `recipe` (every default),
`initial` (parameters at the start), `selection` (which columns explain y), `member`
(one network), `ensemble` (several, side by side), `importance` (which columns they
need).
"""
