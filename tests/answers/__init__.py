"""Answers that people might give, by exercise: right in another form, and wrong in the usual ways.

`RIGHT` has answers that must be taken. `WRONG` has answers that must not, each with words of the
hint that it gets; with ``None`` where it gets none of its own but the way to one.
"""
