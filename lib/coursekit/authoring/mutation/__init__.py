"""Do the tests notice a slip in a formula? `make mutants`, or `python -m coursekit.authoring.mutation`.

A mutant is the library with one small change: a sign, a constant, a comparison, two arguments, a dropped
term. A mutant that no test notices shows a test that is missing, unless it computes the same; then
`tests/mutants.toml` says why.

- `operators`: what is changed into what
- `sites`: the mutants of a module
- `plan`: which modules, from `tests/mutants.toml`, and which mutants are explained
- `warm`: the process that has everything loaded and forks for every mutant
- `table`: results that are kept, and what they add up to
"""
