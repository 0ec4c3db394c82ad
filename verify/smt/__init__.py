"""Formulas for Z3 and cvc5, and the one door to each."""
