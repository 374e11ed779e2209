"""What whoever edits a chapter uses.

- `pairs`: `python -m coursekit.authoring.pairs --check | --write`, keeps .py and .ipynb equal.
- `run`: `python -m coursekit.authoring.run 02_vae`, runs notebooks and stores their outputs.
- `generate`: `python -m coursekit.authoring.generate`, makes the students' exercises from the solutions.
- `equations`: which equation is derived where, implemented by what and tested by which test.
- `status`: how the equations' tests ended, noted by pytest for the book's index.
- `spelling`: `python -m coursekit.authoring.spelling`, words that no list knows, and American forms.
- `links`: `python -m coursekit.authoring.links`, where links lead; `--external` tries the addresses outside.
- `bibliography`: `python -m coursekit.authoring.bibliography`, entries that are incomplete or of no use.
- `notebooks`: reading and writing the two files of a notebook.
- `mutation`: `python -m coursekit.authoring.mutation`, do the tests notice a slip in a formula?
"""
