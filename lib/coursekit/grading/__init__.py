"""What an instructor runs: `dgm-release` hands exercises out, `dgm-grade` grades what comes back.

- `collect`, `submission`: what was handed in, by whom, and the answers in it
- `frames`, `worker`, `sandbox`: strangers' code runs in a cell, and only data comes out
- `marking`, `batch`, `cluster`: marks for one submission, for all of them here, on several machines
- `records`, `tables`, `pages`, `similar`: what is kept and what is read
- `release`: the students' bundle, proven to hold nothing of the solutions
"""
